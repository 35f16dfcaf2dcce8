package secrets

import (
	"context"
	"errors"
	"net/mail"
	"strings"
	"time"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/internal/audit"
	"github.com/hanzoai/kms/server/internal/auth"
	"github.com/hanzoai/kms/server/internal/policy"
	"github.com/hanzoai/kms/server/internal/store"
)

// parseEmail checks an e-mail address and gives it in lower case: one person
// has one spelling, or a second one would be a fresh start for guessing.
func parseEmail(email string) (string, error) {
	parsed, err := mail.ParseAddress(email)
	if err != nil || parsed.Name != "" || parsed.Address != email || len(email) > 254 || strings.ContainsAny(email, `"`) {
		return "", api.Errorf(api.ErrInvalid, "the e-mail address is not of the form name@example.com")
	}
	for i := range len(email) {
		if email[i] > '~' {
			return "", api.Errorf(api.ErrInvalid, "the e-mail address has a character other than ASCII")
		}
	}
	return strings.ToLower(email), nil
}

// Bootstrapped is a new instance, as Bootstrap answers it.
type Bootstrapped struct {
	Identity     api.Identity
	Token        api.Value // of the identity; does not expire
	Organization api.Organization
	User         api.User
}

// Bootstrap sets up an instance that has nobody yet: an organisation, a person
// who administers the instance, and an identity with a token that does.
func (s *Service) Bootstrap(ctx context.Context, caller Caller, email string, password api.Value, organization string) (done Bootstrapped, err error) {
	c := s.newCall(caller, event{audit.Create, "bootstrap-instance"}, nil, 0)
	if email, err = parseEmail(email); err != nil {
		return done, err
	}
	if err := auth.CheckPassword(password); err != nil {
		return done, err
	}
	name, slug, err := organizationNames(organization)
	if err != nil {
		return done, err
	}
	if err := s.notBootstrapped(ctx); err != nil {
		return done, s.refuseUnknown(ctx, c, err)
	}
	hash, err := s.passwords.Hash(ctx, password)
	if err != nil {
		return done, err
	}
	err = s.store.Update(ctx, func(tx *store.Tx) error {
		// The unique marker makes one of several at once the first.
		if err := tx.FirstBootstrap(ctx); errors.Is(err, api.ErrExists) {
			return errBootstrapped
		} else if err != nil {
			return err
		}
		done, err = s.bootstrap(ctx, c, tx, store.User{Email: email, PasswordHash: hash}, name, slug)
		if err != nil {
			return err
		}
		return s.audit.Write(ctx, tx, c.entry)
	})
	if errors.Is(err, errBootstrapped) {
		return done, s.refuseUnknown(ctx, c, err)
	}
	return done, err
}

var errBootstrapped = api.Errorf(api.ErrInvalid, "Instance has already been set up")

func (s *Service) notBootstrapped(ctx context.Context) error {
	return s.store.View(ctx, func(tx *store.Tx) error {
		any, err := tx.AnyUser(ctx)
		if err == nil && any {
			err = errBootstrapped
		}
		return err
	})
}

// refuseUnknown writes down the refusal of a request that proved no identity.
func (s *Service) refuseUnknown(ctx context.Context, c *call, err error) error {
	c.entry.Outcome, c.entry.Reason = outcome(err), reason(err)
	if refused := s.audit.Refused(ctx, c.entry, auth.SourcePrefix(c.caller.Addr).String(), false); refused != nil {
		return refused
	}
	return err
}

// organizationNames gives the display name and the slug of an organisation.
func organizationNames(name string) (string, string, error) {
	if _, err := api.ParseName("organization", name, api.MaxName); err != nil {
		return "", "", err
	}
	if _, err := api.ParseSlug("organization", name); err == nil {
		return name, name, nil
	}
	return name, slugify(name), nil
}

func (s *Service) bootstrap(ctx context.Context, c *call, tx *store.Tx, u store.User, name, slug string) (done Bootstrapped, err error) {
	now := c.now.UnixMicro()
	o := store.Organization{ID: store.NewID(), Name: name, Slug: slug, CreatedAt: now, UpdatedAt: now}
	if err := tx.AddOrganization(ctx, o); err != nil {
		return done, err
	}
	u.ID, u.FirstName, u.LastName, u.SuperAdmin, u.PasswordSetAt, u.CreatedAt, u.UpdatedAt = store.NewID(), "Admin", "User", true, now, now, now
	if err := tx.AddUser(ctx, u); err != nil {
		return done, err
	}
	if err := join(ctx, tx, o.ID, store.ActorUser, u.ID, policy.RoleAdmin, now); err != nil {
		return done, err
	}
	identity := store.Identity{ID: store.NewID(), OrganizationID: o.ID, Name: "Instance Admin Identity", InstanceAdmin: true, CreatedAt: now, UpdatedAt: now}
	if err := addIdentity(ctx, tx, identity, policy.RoleAdmin); err != nil {
		return done, err
	}
	token, prefix := auth.NewOpaqueToken()
	c.entry.OrganizationID, c.entry.ActorType, c.entry.ActorID, c.entry.ActorName = o.ID, store.ActorUser, u.ID, u.Email
	done = Bootstrapped{wireIdentity(identity, policy.RoleAdmin, nil), token, wireOrganization(o), wireUser(u)}
	return done, tx.AddOpaqueToken(ctx, store.OpaqueToken{ID: store.NewID(), IdentityID: identity.ID, Lookup: s.keys.lookups("opaque token", token)[0], Prefix: prefix, CreatedAt: now})
}

func join(ctx context.Context, tx *store.Tx, organizationID, actorType, actorID, role string, now int64) error {
	return tx.SetOrganizationMembership(ctx, store.OrganizationMembership{OrganizationID: organizationID, ActorType: actorType, ActorID: actorID, Role: role, CreatedAt: now, UpdatedAt: now})
}

func wireOrganization(o store.Organization) api.Organization {
	return api.Organization{ID: o.ID, Name: o.Name, Slug: o.Slug, CreatedAt: api.Micros(o.CreatedAt), UpdatedAt: api.Micros(o.UpdatedAt)}
}

func wireUser(u store.User) api.User {
	return api.User{ID: u.ID, Email: u.Email, Username: u.Email, FirstName: u.FirstName, LastName: u.LastName, SuperAdmin: u.SuperAdmin,
		CreatedAt: api.Micros(u.CreatedAt), UpdatedAt: api.Micros(u.UpdatedAt)}
}

// Organizations lists the organisations of the caller, by slug.
func (s *Service) Organizations(ctx context.Context, caller Caller) (all []api.Organization, err error) {
	err = s.look(ctx, caller, event{audit.Read, "get-organizations"}, func(ctx context.Context, c *call) error {
		all = []api.Organization{}
		rows, err := c.tx.Organizations(ctx)
		for _, o := range rows {
			if _, own := c.actor.organizations[o.ID]; own {
				all = append(all, wireOrganization(o))
			}
		}
		return err
	})
	return all, err
}

// AllOrganizations lists every organisation of the instance, by slug, for who
// administers it.
func (s *Service) AllOrganizations(ctx context.Context, caller Caller) (all []api.Organization, err error) {
	err = s.look(ctx, caller, event{audit.Read, "get-all-organizations"}, func(ctx context.Context, c *call) error {
		all = []api.Organization{}
		if err := c.mustBeSuperAdmin(); err != nil {
			return err
		}
		rows, err := c.tx.Organizations(ctx)
		for _, o := range rows {
			all = append(all, wireOrganization(o))
		}
		return err
	})
	return all, err
}

// Invitation is a person who was added, and the link by which he sets his
// password where he has none.
type Invitation struct {
	Email string
	Link  api.Value // empty for a person who has a password
}

// CreateOrganization makes an organisation, for who administers the instance,
// with people as its admins.
func (s *Service) CreateOrganization(ctx context.Context, caller Caller, name string, adminEmails []string) (wire api.Organization, invited []Invitation, err error) {
	name, slug, err := organizationNames(name)
	if err != nil {
		return wire, nil, err
	}
	if len(adminEmails) > maxInvited {
		return wire, nil, api.Errorf(api.ErrInvalid, "inviteAdminEmails has %d addresses: give at most %d", len(adminEmails), maxInvited)
	}
	for i := range adminEmails {
		if adminEmails[i], err = parseEmail(adminEmails[i]); err != nil {
			return wire, nil, err
		}
	}
	err = s.change(ctx, caller, event{audit.Create, "create-organization"}, func(ctx context.Context, c *call) (work, error) {
		if err := c.mustBeSuperAdmin(); err != nil {
			return work{}, err
		}
		return work{apply: func(ctx context.Context, tx *store.Tx) error {
			now := c.now.UnixMicro()
			o := store.Organization{ID: store.NewID(), Name: name, Slug: slug, CreatedAt: now, UpdatedAt: now}
			c.entry.OrganizationID, c.entry.Metadata = o.ID, fields("name", name)
			wire, invited = wireOrganization(o), nil
			if err := tx.AddOrganization(ctx, o); err != nil {
				return err
			}
			for _, email := range adminEmails {
				one, err := s.invite(ctx, c, tx, o.ID, email, policy.RoleAdmin)
				if err != nil {
					return err
				}
				invited = append(invited, one)
			}
			return nil
		}}, nil
	})
	return wire, invited, err
}

// maxInvited bounds the people of one invitation.
const maxInvited = 100

// linkLife is how long a set-password link works.
const linkLife = 72 * time.Hour

// Invite adds people to an organisation with a role.
func (s *Service) Invite(ctx context.Context, caller Caller, organizationID string, emails []string, role string) (invited []Invitation, err error) {
	if role, err = parseOrgRole(role); err != nil {
		return nil, err
	}
	if len(emails) == 0 || len(emails) > maxInvited {
		return nil, api.Errorf(api.ErrInvalid, "the invitation has %d addresses: give 1 to %d", len(emails), maxInvited)
	}
	for i := range emails {
		if emails[i], err = parseEmail(emails[i]); err != nil {
			return nil, err
		}
	}
	err = s.change(ctx, caller, event{audit.Create, "invite-organization-members"}, func(ctx context.Context, c *call) (work, error) {
		id, err := c.ownOrganization(organizationID)
		if err != nil {
			return work{}, err
		}
		o, err := c.organization(ctx, id, policy.ManageOrgMembers)
		if err != nil {
			return work{}, err
		}
		return work{
			lock: func(ctx context.Context, tx *store.Tx) error { return tx.LockOrganization(ctx, o.ID) },
			apply: func(ctx context.Context, tx *store.Tx) error {
				invited = nil
				c.entry.Metadata = fields("emails", strings.Join(emails, " "), "role", role)
				for _, email := range emails {
					one, err := s.invite(ctx, c, tx, o.ID, email, role)
					if err != nil {
						return err
					}
					invited = append(invited, one)
				}
				return nil
			},
		}, nil
	})
	return invited, err
}

// invite adds a person, and gives a link if he has no password yet.
func (s *Service) invite(ctx context.Context, c *call, tx *store.Tx, organizationID, email, role string) (Invitation, error) {
	now := c.now.UnixMicro()
	u, err := tx.UserByEmail(ctx, email)
	switch {
	case err == nil && u.ID == c.actor.id && c.actor.organizations[organizationID] != "":
		return Invitation{}, api.Errorf(api.ErrInvalid, "You cannot change your own role in the organization: another admin can")
	case err == nil && u.PasswordHash == "" && !c.actor.superAdmin:
		err = onlyHere(ctx, tx, organizationID, u)
	case errors.Is(err, api.ErrNotFound):
		u = store.User{ID: store.NewID(), Email: email, CreatedAt: now, UpdatedAt: now}
		err = tx.AddUser(ctx, u)
	}
	if err == nil {
		err = join(ctx, tx, organizationID, store.ActorUser, u.ID, role, now)
	}
	if err != nil || u.PasswordHash != "" {
		return Invitation{Email: email}, err
	}
	token := auth.NewLinkToken()
	err = tx.AddPasswordLink(ctx, s.keys.lookups("password link", token)[0], u.ID, c.now.Add(linkLife).UnixMicro())
	return Invitation{email, api.NewValue(s.siteURL + "/set-password?token=" + token.Reveal())}, err
}

// onlyHere refuses a person whom another organisation has invited and who has
// no password yet: whoever holds a link that sets it becomes that person there.
func onlyHere(ctx context.Context, tx *store.Tx, organizationID string, u store.User) error {
	organizations, err := tx.ActorOrganizations(ctx, store.ActorUser, u.ID)
	for _, m := range organizations {
		if m.OrganizationID != organizationID {
			return api.Errorf(api.ErrInvalid, "A person of the invitation has not set his password yet: invite him again once he has")
		}
	}
	return err
}

// OrganizationMember is a person in an organisation.
type OrganizationMember struct {
	User api.User
	Role string
}

// OrganizationMembers lists the people of an organisation.
func (s *Service) OrganizationMembers(ctx context.Context, caller Caller, organizationID string) (all []OrganizationMember, err error) {
	err = s.look(ctx, caller, event{audit.Read, "get-organization-members"}, func(ctx context.Context, c *call) error {
		all = []OrganizationMember{}
		if _, err := c.organization(ctx, organizationID, policy.ReadOrgMembers); err != nil {
			return err
		}
		rows, err := c.tx.OrganizationMembers(ctx, organizationID)
		for _, m := range rows {
			if err == nil {
				var u store.User
				u, err = c.tx.User(ctx, m.ActorID)
				all = append(all, OrganizationMember{wireUser(u), m.Role})
			}
		}
		return err
	})
	return all, err
}

// RemoveOrganizationMember takes a person out of an organisation and of all
// its projects.
func (s *Service) RemoveOrganizationMember(ctx context.Context, caller Caller, organizationID, userID string) error {
	return s.change(ctx, caller, event{audit.Delete, "remove-organization-member"}, func(ctx context.Context, c *call) (work, error) {
		o, err := c.organization(ctx, organizationID, policy.ManageOrgMembers)
		if err != nil {
			return work{}, err
		}
		return work{
			lock: func(ctx context.Context, tx *store.Tx) error { return tx.LockOrganization(ctx, o.ID) },
			apply: func(ctx context.Context, tx *store.Tx) error {
				if userID == c.actor.id {
					return api.Errorf(api.ErrInvalid, "You cannot take yourself out of the organization: another admin can")
				}
				c.entry.Metadata = fields("userId", named(userID))
				err := tx.DeleteOrganizationMembership(ctx, o.ID, store.ActorUser, userID, c.now.UnixMicro())
				if errors.Is(err, api.ErrNotFound) {
					return api.Errorf(api.ErrNotFound, "Membership of '%s' in the organization not found", named(userID))
				}
				return err
			},
		}, nil
	})
}

// SetPassword takes a one-time link and sets the password of whose it is. His
// sessions end.
func (s *Service) SetPassword(ctx context.Context, caller Caller, link, password api.Value) error {
	c := s.newCall(caller, event{audit.Update, "set-password"}, nil, 0)
	if err := auth.CheckPassword(password); err != nil {
		return err
	}
	// Hashing is costly, so not before the link is known to be one.
	if err := s.findLink(ctx, c, link); err != nil {
		return s.refuseUnknown(ctx, c, err)
	}
	hash, err := s.passwords.Hash(ctx, password)
	if err != nil {
		return err
	}
	err = s.store.Update(ctx, func(tx *store.Tx) error {
		var userID string
		err := firstFound(s.keys.lookups("password link", link), func(lookup []byte) (err error) {
			userID, err = tx.TakePasswordLink(ctx, lookup, c.now.UnixMicro())
			return err
		})
		if err != nil {
			return orElse(gone(err), errNoLink)
		}
		c.entry.ActorType, c.entry.ActorID = store.ActorUser, userID
		if err := tx.SetPassword(ctx, userID, hash, c.now.UnixMicro()); err != nil {
			return err
		}
		return s.audit.Write(ctx, tx, c.entry)
	})
	if errors.Is(err, errNoLink) {
		return s.refuseUnknown(ctx, c, err)
	}
	return err
}

func (s *Service) findLink(ctx context.Context, c *call, link api.Value) error {
	err := s.store.View(ctx, func(tx *store.Tx) error {
		return firstFound(s.keys.lookups("password link", link), func(lookup []byte) error { return tx.PasswordLink(ctx, lookup, c.now.UnixMicro()) })
	})
	if errors.Is(err, api.ErrNotFound) {
		return errNoLink
	}
	return err
}

var errNoLink = api.Errorf(api.ErrUnauthenticated, "The link was used already or has expired: ask for a new one")

// userTokenTTL is how long a person's token lives, and how long renewals go on.
const (
	userTokenTTL    = 10 * time.Hour
	userTokenMaxTTL = 24 * time.Hour
)

// LoginUser takes an e-mail address and a password and gives an access token.
// Passwords can be guessed, so here a lock refuses right ones too.
func (s *Service) LoginUser(ctx context.Context, caller Caller, email string, password api.Value) (api.Login, error) {
	c := s.newCall(caller, event{audit.Login, "user-login"}, nil, 0)
	u, key, err := s.findUser(ctx, c, email)
	if err != nil {
		return api.Login{}, err
	}
	if locked, wait := s.throttle.Locked(key, c.now); locked {
		return api.Login{}, errLocked(wait)
	}
	right, err := s.verifyPassword(ctx, u, password)
	if err != nil {
		return api.Login{}, err
	}
	if u != nil {
		c.entry.ActorType, c.entry.ActorID, c.entry.ActorName = store.ActorUser, u.ID, u.Email
	}
	if !right {
		c.entry.Event = "user-login-failed"
		s.throttle.Wrong(key, auth.Limits{}, c.now)
		return api.Login{}, s.refuseUnknown(ctx, c, errWrongLogin)
	}
	// Guesses that were sent all at once have all found it open.
	if locked, wait := s.throttle.Locked(key, c.now); locked {
		return api.Login{}, errLocked(wait)
	}
	if _, err := c.loadActor(ctx, store.ActorUser, u.ID); err != nil {
		return api.Login{}, err
	}
	claims := auth.Claims{Kind: auth.KindUser, TokenID: store.NewID(), UserID: u.ID, IssuedAt: c.now, OriginAt: sessionStart(u, c.now),
		ExpiresAt: c.now.Add(userTokenTTL), MaxExpiresAt: c.now.Add(userTokenMaxTTL), TTL: int64(userTokenTTL / time.Second)}
	if err := s.audit.Join(ctx, &c.entry, func() bool { return s.cache.fresh(c.notes) }); errors.Is(err, audit.ErrStale) {
		return s.LoginUser(ctx, caller, email, password)
	} else if err != nil {
		return api.Login{}, err
	}
	return s.sign(claims)
}

func errLocked(wait time.Duration) error {
	return api.RetryLater(api.ErrRateLimited, wait, "Too many wrong logins from your address: try again later")
}

// sessionStart is when a session counts as begun. Tokens tell whole seconds,
// and a session of the second in which the password was set could be one of
// the password before: the first of the new one begins with the next second.
// u is what the password was compared with, or a session that began by the old
// password could count as one of the new.
func sessionStart(u *store.User, now time.Time) time.Time {
	if earliest := time.Unix(u.PasswordSetAt/1_000_000+1, 0); now.Before(earliest) {
		return earliest
	}
	return now
}

// findUser finds the person of a login, nil for one who is not there. Wrong
// attempts are counted by address whether or not somebody has it, or a lockout
// would tell who has.
func (s *Service) findUser(ctx context.Context, c *call, email string) (*store.User, auth.Key, error) {
	key := auth.Key{ClientID: auth.UnknownClient, Source: auth.SourcePrefix(c.caller.Addr)}
	email, err := parseEmail(email)
	if err != nil {
		return nil, key, err
	}
	key.ClientID = email
	var u store.User
	err = s.store.View(ctx, func(tx *store.Tx) (err error) {
		u, err = tx.UserByEmail(ctx, email)
		return err
	})
	if errors.Is(err, api.ErrNotFound) {
		return nil, key, nil
	}
	return &u, key, err
}

func (s *Service) verifyPassword(ctx context.Context, u *store.User, password api.Value) (bool, error) {
	if u == nil || u.PasswordHash == "" {
		return false, s.passwords.VerifyUnknown(ctx, password)
	}
	return s.passwords.Verify(ctx, u.PasswordHash, password)
}

// Self gives the person or the identity that the caller is.
func (s *Service) Self(ctx context.Context, caller Caller) (user *api.User, identity *api.Identity, err error) {
	err = s.look(ctx, caller, event{audit.Read, "get-self"}, func(ctx context.Context, c *call) error {
		user, identity = nil, nil
		if c.actor.kind == store.ActorUser {
			wire := wireUser(c.actor.user)
			user = &wire
			return nil
		}
		wire := c.actor.wireIdentity()
		identity = &wire
		return nil
	})
	return user, identity, err
}
