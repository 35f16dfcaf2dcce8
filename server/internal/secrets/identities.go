package secrets

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/internal/audit"
	"github.com/hanzoai/kms/server/internal/auth"
	"github.com/hanzoai/kms/server/internal/policy"
	"github.com/hanzoai/kms/server/internal/store"

	"github.com/google/uuid"
)

// parseOrgRole checks a role in an organisation; none is no-access.
func parseOrgRole(role string) (string, error) {
	switch role {
	case "":
		return policy.RoleNoAccess, nil
	case policy.RoleAdmin, policy.RoleMember, policy.RoleNoAccess:
		return role, nil
	}
	return "", api.Errorf(api.ErrInvalid, "the organization role is not known: give admin, member or no-access")
}

// IdentityUpdate is an identity to make or change; nil keeps.
type IdentityUpdate struct {
	Name, Role *string
	Protected  *bool
}

func (u IdentityUpdate) check() error {
	if u.Name != nil {
		if _, err := api.ParseName("name", *u.Name, api.MaxName); err != nil {
			return err
		}
	}
	if u.Role != nil {
		_, err := parseOrgRole(*u.Role)
		return err
	}
	return nil
}

// CreateIdentity makes a machine identity. It can do nothing until it is given
// credentials and memberships.
func (s *Service) CreateIdentity(ctx context.Context, caller Caller, organizationID string, u IdentityUpdate) (wire api.Identity, err error) {
	if u.Name == nil {
		return wire, api.Errorf(api.ErrInvalid, "an identity needs a name")
	}
	if err := u.check(); err != nil {
		return wire, err
	}
	role := policy.RoleNoAccess
	if u.Role != nil {
		role, _ = parseOrgRole(*u.Role)
	}
	err = s.change(ctx, caller, event{audit.Create, "create-identity"}, func(ctx context.Context, c *call) (work, error) {
		id, err := c.ownOrganization(organizationID)
		if err != nil {
			return work{}, err
		}
		o, err := c.organization(ctx, id, policy.ManageIdentities)
		if err != nil {
			return work{}, err
		}
		return work{apply: func(ctx context.Context, tx *store.Tx) error {
			now := c.now.UnixMicro()
			row := store.Identity{ID: store.NewID(), OrganizationID: o.ID, Name: *u.Name, CreatedAt: now, UpdatedAt: now}
			if u.Protected != nil {
				row.DeleteProtection = *u.Protected
			}
			c.entry.Metadata = fields("identityId", row.ID, "name", row.Name, "role", role)
			wire = wireIdentity(row, role, nil)
			return addIdentity(ctx, tx, row, role)
		}}, nil
	})
	return wire, err
}

func addIdentity(ctx context.Context, tx *store.Tx, row store.Identity, role string) error {
	if err := tx.AddIdentity(ctx, row); err != nil {
		return err
	}
	return tx.SetOrganizationMembership(ctx, store.OrganizationMembership{OrganizationID: row.OrganizationID, ActorType: store.ActorIdentity,
		ActorID: row.ID, Role: role, CreatedAt: row.CreatedAt, UpdatedAt: row.UpdatedAt})
}

func wireIdentity(row store.Identity, role string, ua *store.UniversalAuth) api.Identity {
	methods := []string{}
	if ua != nil {
		methods = append(methods, "universal-auth")
	}
	return api.Identity{ID: row.ID, Name: row.Name, OrgID: row.OrganizationID, Role: role, HasDeleteProtection: row.DeleteProtection, AuthMethods: methods,
		CreatedAt: api.Micros(row.CreatedAt), UpdatedAt: api.Micros(row.UpdatedAt)}
}

func (a *actor) wireIdentity() api.Identity {
	return wireIdentity(a.identity, a.organizations[a.identity.OrganizationID], a.universalAuth)
}

// Identities lists the identities of an organisation by name.
func (s *Service) Identities(ctx context.Context, caller Caller, organizationID string) (all []api.Identity, err error) {
	err = s.look(ctx, caller, event{audit.Read, "get-identities"}, func(ctx context.Context, c *call) error {
		all = []api.Identity{}
		id, err := c.ownOrganization(organizationID)
		if err != nil {
			return err
		}
		if _, err := c.organization(ctx, id, policy.ReadIdentities); err != nil {
			return err
		}
		rows, err := c.tx.Identities(ctx, id)
		for _, row := range rows {
			if err == nil {
				var a *actor
				if a, err = c.loadActor(ctx, store.ActorIdentity, row.ID); err == nil {
					all = append(all, a.wireIdentity())
				}
			}
		}
		return err
	})
	return all, err
}

// identity finds an identity of an organisation of the caller.
func (c *call) identity(ctx context.Context, id string, action policy.Action) (*actor, error) {
	unknown := api.Errorf(api.ErrNotFound, "Identity with id '%s' not found", named(id))
	a, err := c.loadActor(ctx, store.ActorIdentity, id)
	if err != nil {
		return nil, orElse(gone(err), unknown)
	}
	role, own := c.actor.organizations[a.identity.OrganizationID]
	if !own {
		return nil, unknown
	}
	c.entry.OrganizationID = a.identity.OrganizationID
	c.entry.Metadata = fields("identityId", a.id, "name", a.name)
	if a.id == c.actor.id && action == policy.ReadIdentities {
		return a, nil // everybody may know himself
	}
	if !policy.OrgAllows(role, action) {
		return nil, errRefused(action, "the identity")
	}
	return a, nil
}

// credentials finds an identity whose credentials the caller may extend: he
// must hold every right that they give, in every project.
func (c *call) credentials(ctx context.Context, id string) (*actor, error) {
	a, err := c.identity(ctx, id, policy.ManageIdentities)
	if err != nil {
		return nil, err
	}
	if a.superAdmin && !c.actor.superAdmin {
		return nil, api.Errorf(api.ErrDenied, "You are not allowed to change the credentials of an identity that administers the instance")
	}
	for projectID := range a.memberships {
		p, err := c.loadProject(ctx, projectID)
		if err != nil {
			return nil, err
		}
		r := reach{p, c.access(c.actor, p)}
		if err := r.covers(c.access(a, p), "change the credentials of that identity"); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// Identity gives one identity.
func (s *Service) Identity(ctx context.Context, caller Caller, id string) (wire api.Identity, err error) {
	err = s.look(ctx, caller, event{audit.Read, "get-identity"}, func(ctx context.Context, c *call) error {
		a, err := c.identity(ctx, id, policy.ReadIdentities)
		if err == nil {
			wire = a.wireIdentity()
		}
		return err
	})
	return wire, err
}

// changeIdentity is the frame of a change of an identity or its credentials.
func (s *Service) changeIdentity(ctx context.Context, caller Caller, ev event, id string, apply func(ctx context.Context, c *call, tx *store.Tx, a *actor) error) error {
	return s.change(ctx, caller, ev, func(ctx context.Context, c *call) (work, error) {
		a, err := c.credentials(ctx, id)
		if err != nil {
			return work{}, err
		}
		return work{
			lock:  func(ctx context.Context, tx *store.Tx) error { return tx.LockIdentity(ctx, a.id) },
			apply: func(ctx context.Context, tx *store.Tx) error { return apply(ctx, c, tx, a) },
		}, nil
	})
}

// UpdateIdentity changes an identity.
func (s *Service) UpdateIdentity(ctx context.Context, caller Caller, id string, u IdentityUpdate) (wire api.Identity, err error) {
	if err := u.check(); err != nil {
		return wire, err
	}
	err = s.changeIdentity(ctx, caller, event{audit.Update, "update-identity"}, id, func(ctx context.Context, c *call, tx *store.Tx, a *actor) error {
		row, role := a.identity, a.organizations[a.identity.OrganizationID]
		row.UpdatedAt = c.now.UnixMicro()
		if u.Name != nil {
			row.Name = *u.Name
		}
		if u.Protected != nil {
			row.DeleteProtection = *u.Protected
		}
		if u.Role != nil {
			role, _ = parseOrgRole(*u.Role)
		}
		wire = wireIdentity(row, role, a.universalAuth)
		if err := tx.UpdateIdentity(ctx, row); err != nil {
			return err
		}
		return tx.SetOrganizationMembership(ctx, store.OrganizationMembership{OrganizationID: row.OrganizationID, ActorType: store.ActorIdentity,
			ActorID: row.ID, Role: role, CreatedAt: row.UpdatedAt, UpdatedAt: row.UpdatedAt})
	})
	return wire, err
}

// DeleteIdentity deletes an identity: its credentials and tokens end at once,
// on every replica.
func (s *Service) DeleteIdentity(ctx context.Context, caller Caller, id string) (wire api.Identity, err error) {
	err = s.changeIdentity(ctx, caller, event{audit.Delete, "delete-identity"}, id, func(ctx context.Context, c *call, tx *store.Tx, a *actor) error {
		if a.identity.DeleteProtection {
			return api.Errorf(api.ErrInvalid, "the identity '%s' has delete protection: switch it off first", a.name)
		}
		wire = a.wireIdentity()
		return tx.DeleteIdentity(ctx, a.id, c.now.UnixMicro())
	})
	return wire, err
}

// UniversalAuthUpdate is a Universal Auth configuration; nil keeps, or is the
// default where there was none. Times are seconds.
type UniversalAuthUpdate struct {
	TTL, MaxTTL, Period, UsesLimit                         *int64
	SecretTrustedIPs, TokenTrustedIPs                      []string
	LockoutEnabled                                         *bool
	LockoutThreshold, LockoutDuration, LockoutCounterReset *int64
}

// anywhere is the default of both lists of trusted networks.
var anywhere = []string{"0.0.0.0/0", "::/0"}

const maxTokenTTL = 315_360_000 // ten years, in seconds

// apply puts the update into a configuration and checks the whole.
func (u UniversalAuthUpdate) apply(ua *store.UniversalAuth) error {
	for _, n := range []struct {
		name     string
		to       *int64
		from     *int64
		min, max int64
	}{
		{"accessTokenTTL", &ua.TTL, u.TTL, 1, maxTokenTTL},
		{"accessTokenMaxTTL", &ua.MaxTTL, u.MaxTTL, 1, maxTokenTTL},
		{"accessTokenPeriod", &ua.Period, u.Period, 0, maxTokenTTL},
		{"accessTokenNumUsesLimit", &ua.UsesLimit, u.UsesLimit, 0, 1 << 53},
		{"lockoutThreshold", &ua.LockoutThreshold, u.LockoutThreshold, 1, 30},
		{"lockoutDurationSeconds", &ua.LockoutDuration, u.LockoutDuration, 30, 86400},
		{"lockoutCounterResetSeconds", &ua.LockoutCounterReset, u.LockoutCounterReset, 5, 3600},
	} {
		if n.from == nil {
			continue
		}
		if *n.from < n.min || *n.from > n.max {
			return api.Errorf(api.ErrInvalid, "%s is %d: give %d to %d", n.name, *n.from, n.min, n.max)
		}
		*n.to = *n.from
	}
	if ua.TTL > ua.MaxTTL {
		return api.Errorf(api.ErrInvalid, "accessTokenTTL is %d and accessTokenMaxTTL %d: the first must not be greater", ua.TTL, ua.MaxTTL)
	}
	if u.LockoutEnabled != nil {
		ua.LockoutEnabled = *u.LockoutEnabled
	}
	var err error
	if u.SecretTrustedIPs != nil {
		if ua.SecretTrustedIPs, err = canonical("clientSecretTrustedIps", u.SecretTrustedIPs); err != nil {
			return err
		}
	}
	if u.TokenTrustedIPs != nil {
		ua.TokenTrustedIPs, err = canonical("accessTokenTrustedIps", u.TokenTrustedIPs)
	}
	return err
}

// canonical checks networks and writes them in CIDR form.
func canonical(what string, networks []string) ([]string, error) {
	parsed, err := auth.ParseNetworks(what, networks)
	if err != nil {
		return nil, err
	}
	texts := make([]string, len(parsed))
	for i, network := range parsed {
		texts[i] = network.String()
	}
	return texts, nil
}

// AttachUniversalAuth gives an identity Universal Auth: a client id that stays
// for good. Client secrets are made for it afterwards.
func (s *Service) AttachUniversalAuth(ctx context.Context, caller Caller, id string, u UniversalAuthUpdate) (wire api.UniversalAuth, err error) {
	err = s.changeIdentity(ctx, caller, event{audit.Create, "add-identity-universal-auth"}, id, func(ctx context.Context, c *call, tx *store.Tx, a *actor) error {
		if a.universalAuth != nil {
			return api.Errorf(api.ErrExists, "The identity already has universal auth")
		}
		now := c.now.UnixMicro()
		// The client id is drawn at random: unlike an id, it should not tell when.
		ua := store.UniversalAuth{IdentityID: a.id, ID: store.NewID(), ClientID: uuid.NewString(), TTL: s.tokenTTL, MaxTTL: s.tokenTTL,
			SecretTrustedIPs: anywhere, TokenTrustedIPs: anywhere, LockoutEnabled: true, LockoutThreshold: 3, LockoutDuration: 300, LockoutCounterReset: 30,
			CreatedAt: now, UpdatedAt: now}
		if u.TTL != nil && u.MaxTTL == nil {
			ua.MaxTTL = max(ua.MaxTTL, *u.TTL)
		}
		if u.MaxTTL != nil && u.TTL == nil {
			ua.TTL = min(ua.TTL, *u.MaxTTL)
		}
		return s.setUniversalAuth(ctx, tx, ua, u, &wire)
	})
	return wire, err
}

func (s *Service) setUniversalAuth(ctx context.Context, tx *store.Tx, ua store.UniversalAuth, u UniversalAuthUpdate, wire *api.UniversalAuth) error {
	if err := u.apply(&ua); err != nil {
		return err
	}
	var err error
	if *wire, err = wireUniversalAuth(ua); err != nil {
		return err
	}
	return tx.SetUniversalAuth(ctx, ua)
}

func wireUniversalAuth(ua store.UniversalAuth) (wire api.UniversalAuth, err error) {
	wire = api.UniversalAuth{ID: ua.ID, IdentityID: ua.IdentityID, ClientID: ua.ClientID, AccessTokenTTL: ua.TTL, AccessTokenMaxTTL: ua.MaxTTL,
		AccessTokenNumUsesLimit: ua.UsesLimit, AccessTokenPeriod: ua.Period, LockoutEnabled: ua.LockoutEnabled, LockoutThreshold: ua.LockoutThreshold,
		LockoutDuration: ua.LockoutDuration, LockoutCounterReset: ua.LockoutCounterReset, CreatedAt: api.Micros(ua.CreatedAt), UpdatedAt: api.Micros(ua.UpdatedAt)}
	if wire.ClientSecretTrustedIPs, err = trustedIPs(ua.SecretTrustedIPs); err != nil {
		return wire, err
	}
	wire.AccessTokenTrustedIPs, err = trustedIPs(ua.TokenTrustedIPs)
	return wire, err
}

// trustedIPs writes networks as the wire does: address, type and prefix apart.
func trustedIPs(networks []string) ([]api.TrustedIP, error) {
	all := make([]api.TrustedIP, len(networks))
	for i, text := range networks {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, err
		}
		bits := network.Bits()
		all[i] = api.TrustedIP{IPAddress: network.Addr().String(), Type: "ipv6", Prefix: &bits}
		if network.Addr().Is4() {
			all[i].Type = "ipv4"
		}
	}
	return all, nil
}

var errNoUniversalAuth = api.Errorf(api.ErrNotFound, "The identity does not have universal auth")

// UpdateUniversalAuth changes the Universal Auth of an identity. It holds for
// tokens given from now on; trusted networks hold at once.
func (s *Service) UpdateUniversalAuth(ctx context.Context, caller Caller, id string, u UniversalAuthUpdate) (wire api.UniversalAuth, err error) {
	err = s.changeIdentity(ctx, caller, event{audit.Update, "update-identity-universal-auth"}, id, func(ctx context.Context, c *call, tx *store.Tx, a *actor) error {
		if a.universalAuth == nil {
			return errNoUniversalAuth
		}
		ua := *a.universalAuth
		ua.UpdatedAt = c.now.UnixMicro()
		return s.setUniversalAuth(ctx, tx, ua, u, &wire)
	})
	return wire, err
}

// UniversalAuth gives the Universal Auth of an identity.
func (s *Service) UniversalAuth(ctx context.Context, caller Caller, id string) (wire api.UniversalAuth, err error) {
	err = s.look(ctx, caller, event{audit.Read, "get-identity-universal-auth"}, func(ctx context.Context, c *call) error {
		a, err := c.identity(ctx, id, policy.ReadIdentities)
		if err != nil {
			return err
		}
		if a.universalAuth == nil {
			return errNoUniversalAuth
		}
		wire, err = wireUniversalAuth(*a.universalAuth)
		return err
	})
	return wire, err
}

// DetachUniversalAuth takes Universal Auth from an identity: its client
// secrets and tokens end at once.
func (s *Service) DetachUniversalAuth(ctx context.Context, caller Caller, id string) (wire api.UniversalAuth, err error) {
	err = s.changeIdentity(ctx, caller, event{audit.Delete, "revoke-identity-universal-auth"}, id, func(ctx context.Context, c *call, tx *store.Tx, a *actor) error {
		if a.universalAuth == nil {
			return errNoUniversalAuth
		}
		if wire, err = wireUniversalAuth(*a.universalAuth); err != nil {
			return err
		}
		return tx.DeleteUniversalAuth(ctx, a.id, c.now.UnixMicro())
	})
	return wire, err
}

// NewClientSecret is what a client secret is made with. TTL is seconds; zero
// means no end and no limit.
type NewClientSecret struct {
	Description    string
	UsesLimit, TTL int64
	// Grace, where it is set, ends the other client secrets of the identity
	// after so many seconds: the secret is regenerated.
	Grace *int64
}

// maxClientSecrets bounds the live client secrets of one identity.
const maxClientSecrets = 100

// CreateClientSecret makes a client secret and shows it, this once.
func (s *Service) CreateClientSecret(ctx context.Context, caller Caller, id string, req NewClientSecret) (secret api.Value, wire api.ClientSecret, err error) {
	if err := req.check(); err != nil {
		return secret, wire, err
	}
	name := "create-identity-universal-auth-client-secret"
	if req.Grace != nil {
		name = "regenerate-identity-universal-auth-client-secret"
	}
	err = s.changeIdentity(ctx, caller, event{audit.Create, name}, id, func(ctx context.Context, c *call, tx *store.Tx, a *actor) error {
		if a.universalAuth == nil {
			return errNoUniversalAuth
		}
		others, err := tx.ClientSecrets(ctx, a.id)
		if err != nil {
			return err
		}
		if count := liveSecrets(others, c.now); count >= maxClientSecrets {
			return api.Errorf(api.ErrInvalid, "the identity has %d client secrets: revoke some first", count)
		}
		var row store.ClientSecret
		secret, row = s.drawClientSecret(a.id, req, c.now)
		c.entry.Metadata = fields("identityId", a.id, "clientSecretId", row.ID)
		wire = wireClientSecret(row, *a.universalAuth)
		if err := tx.AddClientSecret(ctx, row); err != nil || req.Grace == nil {
			return err
		}
		end := c.now.Add(time.Duration(*req.Grace) * time.Second).UnixMicro()
		return tx.LimitClientSecrets(ctx, a.id, row.ID, end, c.now.UnixMicro())
	})
	return secret, wire, err
}

// liveSecrets counts those that can still log in: ended ones stay to be seen,
// and must not stand in the way of the next regeneration.
func liveSecrets(all []store.ClientSecret, now time.Time) int {
	count := 0
	for _, secret := range all {
		if !secret.Revoked && live(secret.ExpiresAt, now) {
			count++
		}
	}
	return count
}

func (req NewClientSecret) check() error {
	if _, err := api.ParseText("description", req.Description, api.MaxDescription); err != nil {
		return err
	}
	for _, n := range []struct {
		name  string
		value int64
		max   int64
	}{{"numUsesLimit", req.UsesLimit, 1 << 53}, {"ttl", req.TTL, maxTokenTTL}} {
		if n.value < 0 || n.value > n.max {
			return api.Errorf(api.ErrInvalid, "%s is %d: give 0 to %d", n.name, n.value, n.max)
		}
	}
	if req.Grace != nil && (*req.Grace < 0 || *req.Grace > maxTokenTTL) {
		return api.Errorf(api.ErrInvalid, "graceSeconds is %d: give 0 to %d", *req.Grace, maxTokenTTL)
	}
	return nil
}

func (s *Service) drawClientSecret(identityID string, req NewClientSecret, now time.Time) (api.Value, store.ClientSecret) {
	secret, prefix := auth.NewClientSecret()
	row := store.ClientSecret{ID: store.NewID(), IdentityID: identityID, Lookup: s.keys.lookups("client secret", secret)[0], Prefix: prefix,
		Description: req.Description, UsesLimit: req.UsesLimit, TTL: req.TTL, CreatedAt: now.UnixMicro(), UpdatedAt: now.UnixMicro()}
	if req.TTL != 0 {
		row.ExpiresAt = now.Add(time.Duration(req.TTL) * time.Second).UnixMicro()
	}
	return secret, row
}

func wireClientSecret(row store.ClientSecret, ua store.UniversalAuth) api.ClientSecret {
	wire := api.ClientSecret{ID: row.ID, Description: row.Description, Prefix: row.Prefix, NumUses: row.Uses, NumUsesLimit: row.UsesLimit, TTL: row.TTL,
		IdentityUAID: ua.ID, IsRevoked: row.Revoked, CreatedAt: api.Micros(row.CreatedAt), UpdatedAt: api.Micros(row.UpdatedAt)}
	if row.ExpiresAt != 0 {
		end := api.Micros(row.ExpiresAt)
		wire.ExpiresAt = &end
	}
	if row.LastUsedAt != 0 {
		last := api.Micros(row.LastUsedAt)
		wire.LastUsedAt = &last
	}
	return wire
}

// ClientSecrets lists the client secrets of an identity, oldest first.
func (s *Service) ClientSecrets(ctx context.Context, caller Caller, id string) (all []api.ClientSecret, err error) {
	err = s.look(ctx, caller, event{audit.Read, "get-identity-universal-auth-client-secrets"}, func(ctx context.Context, c *call) error {
		all = []api.ClientSecret{}
		a, err := c.identity(ctx, id, policy.ReadIdentities)
		if err != nil {
			return err
		}
		if a.universalAuth == nil {
			return errNoUniversalAuth
		}
		rows, err := c.tx.ClientSecrets(ctx, a.id)
		for _, row := range rows {
			all = append(all, wireClientSecret(row, *a.universalAuth))
		}
		return err
	})
	return all, err
}

// ClientSecret gives what is known of one client secret.
func (s *Service) ClientSecret(ctx context.Context, caller Caller, id, secretID string) (wire api.ClientSecret, err error) {
	err = s.look(ctx, caller, event{audit.Read, "get-identity-universal-auth-client-secret"}, func(ctx context.Context, c *call) error {
		a, err := c.identity(ctx, id, policy.ReadIdentities)
		if err != nil {
			return err
		}
		if a.universalAuth == nil {
			return errNoUniversalAuth
		}
		row, err := c.tx.ClientSecret(ctx, secretID)
		if errors.Is(err, api.ErrNotFound) || err == nil && row.IdentityID != a.id {
			return errNoClientSecret(secretID)
		}
		wire = wireClientSecret(row, *a.universalAuth)
		return err
	})
	return wire, err
}

func errNoClientSecret(id string) error {
	return api.Errorf(api.ErrNotFound, "Client secret with id '%s' not found", named(id))
}

// RevokeClientSecret ends a client secret and the tokens that it gave, at once.
func (s *Service) RevokeClientSecret(ctx context.Context, caller Caller, id, secretID string) (wire api.ClientSecret, err error) {
	err = s.changeIdentity(ctx, caller, event{audit.Delete, "revoke-identity-universal-auth-client-secret"}, id, func(ctx context.Context, c *call, tx *store.Tx, a *actor) error {
		if a.universalAuth == nil {
			return errNoUniversalAuth
		}
		row, err := tx.ClientSecret(ctx, secretID)
		if errors.Is(err, api.ErrNotFound) || err == nil && row.IdentityID != a.id {
			return errNoClientSecret(secretID)
		}
		if err != nil {
			return err
		}
		row.Revoked, row.UpdatedAt = true, c.now.UnixMicro()
		c.entry.Metadata = fields("identityId", a.id, "clientSecretId", row.ID)
		wire = wireClientSecret(row, *a.universalAuth)
		return tx.RevokeClientSecret(ctx, row.ID, row.UpdatedAt)
	})
	return wire, err
}

// ClearLockouts forgets the wrong logins of an identity, on this replica, and
// reports from how many sources there were any.
func (s *Service) ClearLockouts(ctx context.Context, caller Caller, id string) (deleted int, err error) {
	err = s.changeIdentity(ctx, caller, event{audit.Update, "clear-identity-universal-auth-lockouts"}, id, func(ctx context.Context, c *call, tx *store.Tx, a *actor) error {
		if a.universalAuth == nil {
			return errNoUniversalAuth
		}
		deleted = s.throttle.Clear(a.universalAuth.ID)
		return nil
	})
	return deleted, err
}
