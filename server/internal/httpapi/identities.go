package httpapi

import (
	"net/netip"
	"strings"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/internal/secrets"
)

// listIdentities answers {"identities":[...],"totalCount"}.
func listIdentities(x *exchange) (any, error) {
	all, err := x.h.cfg.Service.Identities(x.r.Context(), x.caller, x.first("orgId", "organizationId"))
	members := make([]object, len(all))
	for i, identity := range all {
		members[i] = identityMember(identity)
	}
	return object{"identities": members, "totalCount": len(members)}, err
}

// identityMember is an identity with its role in the organisation.
func identityMember(identity api.Identity) object {
	return object{"id": identity.ID, "identityId": identity.ID, "orgId": identity.OrgID, "role": identity.Role, "customRole": nil, "metadata": []string{}, "identity": identity}
}

type identityBody struct {
	Name           *string `json:"name"`
	OrganizationID *string `json:"organizationId"`
	Role           *string `json:"role"`
	Protected      *bool   `json:"hasDeleteProtection"`
}

func (b identityBody) update() secrets.IdentityUpdate {
	return secrets.IdentityUpdate{Name: b.Name, Role: b.Role, Protected: b.Protected}
}

// createIdentity, updateIdentity and deleteIdentity answer {"identity":{...}}.
func createIdentity(x *exchange) (any, error) {
	var body identityBody
	if err := x.body(&body); err != nil {
		return nil, err
	}
	identity, err := x.h.cfg.Service.CreateIdentity(x.r.Context(), x.caller, text(body.OrganizationID), body.update())
	return object{"identity": identity}, err
}

// getIdentity answers {"identity":{"identity":{...},"role",...}}.
func getIdentity(x *exchange) (any, error) {
	identity, err := x.h.cfg.Service.Identity(x.r.Context(), x.caller, x.params["identity"])
	return object{"identity": identityMember(identity)}, err
}

func updateIdentity(x *exchange) (any, error) {
	var body identityBody
	if err := x.body(&body); err != nil {
		return nil, err
	}
	identity, err := x.h.cfg.Service.UpdateIdentity(x.r.Context(), x.caller, x.params["identity"], body.update())
	return object{"identity": identity}, err
}

func deleteIdentity(x *exchange) (any, error) {
	identity, err := x.h.cfg.Service.DeleteIdentity(x.r.Context(), x.caller, x.params["identity"])
	return object{"identity": identity}, err
}

type universalAuthBody struct {
	TTL                 *int64       `json:"accessTokenTTL"`
	MaxTTL              *int64       `json:"accessTokenMaxTTL"`
	Period              *int64       `json:"accessTokenPeriod"`
	UsesLimit           *int64       `json:"accessTokenNumUsesLimit"`
	SecretTrustedIPs    *[]trustedIP `json:"clientSecretTrustedIps"`
	TokenTrustedIPs     *[]trustedIP `json:"accessTokenTrustedIps"`
	LockoutEnabled      *bool        `json:"lockoutEnabled"`
	LockoutThreshold    *int64       `json:"lockoutThreshold"`
	LockoutDuration     *int64       `json:"lockoutDurationSeconds"`
	LockoutCounterReset *int64       `json:"lockoutCounterResetSeconds"`
}

type trustedIP struct {
	IPAddress *string `json:"ipAddress"`
	Prefix    *int    `json:"prefix"`
}

func (x *exchange) universalAuthBody() (secrets.UniversalAuthUpdate, error) {
	var body universalAuthBody
	if err := x.body(&body); err != nil {
		return secrets.UniversalAuthUpdate{}, err
	}
	u := secrets.UniversalAuthUpdate{TTL: body.TTL, MaxTTL: body.MaxTTL, Period: body.Period, UsesLimit: body.UsesLimit, LockoutEnabled: body.LockoutEnabled,
		LockoutThreshold: body.LockoutThreshold, LockoutDuration: body.LockoutDuration, LockoutCounterReset: body.LockoutCounterReset}
	var err, err2 error
	u.SecretTrustedIPs, err = networks("clientSecretTrustedIps", body.SecretTrustedIPs)
	u.TokenTrustedIPs, err2 = networks("accessTokenTrustedIps", body.TokenTrustedIPs)
	return u, firstError(err, err2)
}

// networks takes trusted networks in the form that clients write (CIDR or an
// address) and in the one that answers have (address and prefix apart).
func networks(what string, list *[]trustedIP) ([]string, error) {
	if list == nil {
		return nil, nil
	}
	if len(*list) == 0 {
		return nil, api.Errorf(api.ErrInvalid, "The list %s is empty: give at least one network, or leave it out", what)
	}
	var all []string
	for i, one := range *list {
		network := strings.TrimSpace(text(one.IPAddress))
		if one.Prefix != nil && !strings.Contains(network, "/") {
			addr, err := netip.ParseAddr(network)
			if err != nil || *one.Prefix < 0 || *one.Prefix > addr.BitLen() {
				return nil, api.Errorf(api.ErrInvalid, "Entry %d of %s is not an address with a prefix of its length", i+1, what)
			}
			network = netip.PrefixFrom(addr, *one.Prefix).String()
		}
		all = append(all, network)
	}
	return all, nil
}

// The routes of Universal Auth answer {"identityUniversalAuth":{...}}.
func universalAuthAnswer(ua api.UniversalAuth, err error) (any, error) {
	return object{"identityUniversalAuth": ua}, err
}

func getUniversalAuth(x *exchange) (any, error) {
	return universalAuthAnswer(x.h.cfg.Service.UniversalAuth(x.r.Context(), x.caller, x.params["identity"]))
}

func attachUniversalAuth(x *exchange) (any, error) {
	u, err := x.universalAuthBody()
	if err != nil {
		return nil, err
	}
	return universalAuthAnswer(x.h.cfg.Service.AttachUniversalAuth(x.r.Context(), x.caller, x.params["identity"], u))
}

func updateUniversalAuth(x *exchange) (any, error) {
	u, err := x.universalAuthBody()
	if err != nil {
		return nil, err
	}
	return universalAuthAnswer(x.h.cfg.Service.UpdateUniversalAuth(x.r.Context(), x.caller, x.params["identity"], u))
}

func detachUniversalAuth(x *exchange) (any, error) {
	return universalAuthAnswer(x.h.cfg.Service.DetachUniversalAuth(x.r.Context(), x.caller, x.params["identity"]))
}

// listClientSecrets answers {"clientSecretData":[...]}.
func listClientSecrets(x *exchange) (any, error) {
	all, err := x.h.cfg.Service.ClientSecrets(x.r.Context(), x.caller, x.params["identity"])
	return object{"clientSecretData": all}, err
}

func getClientSecret(x *exchange) (any, error) {
	one, err := x.h.cfg.Service.ClientSecret(x.r.Context(), x.caller, x.params["identity"], x.params["clientSecret"])
	return object{"clientSecretData": one}, err
}

type clientSecretBody struct {
	Description *string `json:"description"`
	UsesLimit   *int64  `json:"numUsesLimit"`
	TTL         *int64  `json:"ttl"`
	Grace       *int64  `json:"graceSeconds"`
}

// createClientSecret answers {"clientSecret","clientSecretData":{...}}: the
// only time that the secret is shown.
func createClientSecret(x *exchange) (any, error) {
	body, req, err := x.clientSecretBody()
	if err != nil {
		return nil, err
	}
	if body.Grace != nil {
		return nil, api.Errorf(api.ErrInvalid, "graceSeconds ends the other client secrets: send it to client-secrets/regenerate")
	}
	return x.newClientSecret(req)
}

// defaultGrace is how long replaced client secrets go on: a day, in seconds.
const defaultGrace = int64(86400)

// regenerateClientSecret makes a client secret; those that are there end after
// graceSeconds.
func regenerateClientSecret(x *exchange) (any, error) {
	body, req, err := x.clientSecretBody()
	if err != nil {
		return nil, err
	}
	grace := defaultGrace
	if body.Grace != nil {
		grace = *body.Grace
	}
	req.Grace = &grace
	return x.newClientSecret(req)
}

func (x *exchange) clientSecretBody() (body clientSecretBody, req secrets.NewClientSecret, err error) {
	if err := x.body(&body); err != nil {
		return body, req, err
	}
	req.Description = text(body.Description)
	if body.UsesLimit != nil {
		req.UsesLimit = *body.UsesLimit
	}
	if body.TTL != nil {
		req.TTL = *body.TTL
	}
	return body, req, nil
}

func (x *exchange) newClientSecret(req secrets.NewClientSecret) (any, error) {
	secret, data, err := x.h.cfg.Service.CreateClientSecret(x.r.Context(), x.caller, x.params["identity"], req)
	if err != nil {
		return nil, err
	}
	return object{"clientSecret": secret.Reveal(), "clientSecretData": data}, nil
}

func revokeClientSecret(x *exchange) (any, error) {
	one, err := x.h.cfg.Service.RevokeClientSecret(x.r.Context(), x.caller, x.params["identity"], x.params["clientSecret"])
	return object{"clientSecretData": one}, err
}

// clearLockouts answers {"deleted":n}.
func clearLockouts(x *exchange) (any, error) {
	deleted, err := x.h.cfg.Service.ClearLockouts(x.r.Context(), x.caller, x.params["identity"])
	return object{"deleted": deleted}, err
}
