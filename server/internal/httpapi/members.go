package httpapi

import (
	"time"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/internal/secrets"
)

// rolesBody is the roles of a membership: one by name, or a list in which each
// may be for a time.
type rolesBody struct {
	Role  *string `json:"role"`
	Roles *[]struct {
		Role        *string `json:"role"`
		IsTemporary *bool   `json:"isTemporary"`
		Range       *string `json:"temporaryRange"` // such as "1h"
		Start       *string `json:"temporaryAccessStartTime"`
		End         *string `json:"temporaryAccessEndTime"`
	} `json:"roles"`
}

// roles gives the roles of a body that came at now.
func (b rolesBody) roles(now time.Time) ([]secrets.MemberRole, error) {
	if b.Roles == nil {
		return []secrets.MemberRole{{Role: text(b.Role)}}, nil
	}
	var all []secrets.MemberRole
	for _, r := range *b.Roles {
		one := secrets.MemberRole{Role: text(r.Role)}
		if r.IsTemporary != nil && *r.IsTemporary {
			end, err := endOf(now, text(r.Range), text(r.Start), text(r.End))
			if err != nil {
				return nil, err
			}
			one.ExpiresAt = end.UnixMicro()
		}
		all = append(all, one)
	}
	return all, nil
}

func endOf(begin time.Time, length, start, end string) (time.Time, error) {
	if end != "" {
		at, err := time.Parse(time.RFC3339, end)
		if err != nil {
			return at, api.Errorf(api.ErrInvalid, "The field temporaryAccessEndTime must be an RFC 3339 time")
		}
		return at, nil
	}
	if start != "" {
		at, err := time.Parse(time.RFC3339, start)
		if err != nil {
			return at, api.Errorf(api.ErrInvalid, "The field temporaryAccessStartTime must be an RFC 3339 time")
		}
		begin = at
	}
	span, err := time.ParseDuration(length)
	if err != nil || span <= 0 {
		return begin, api.Errorf(api.ErrInvalid, "The field temporaryRange must be a length of time such as 1h or 30m")
	}
	return begin.Add(span), nil
}

// identityMembership is a membership as terraform reads it.
func identityMembership(m api.Membership) object {
	return object{"id": m.ID, "projectId": m.ProjectID, "actorId": m.ActorID, "actorType": m.ActorType, "name": m.Name, "roles": m.Roles, "identityId": m.ActorID,
		"createdAt": m.CreatedAt, "updatedAt": m.UpdatedAt, "identity": object{"id": m.ActorID, "name": m.Name, "authMethods": []string{}}}
}

// listIdentityMembers answers {"identityMemberships":[...],"totalCount"}.
func listIdentityMembers(x *exchange) (any, error) {
	all, err := x.h.cfg.Service.Members(x.r.Context(), x.caller, x.project(), secrets.ActorIdentity)
	members := make([]object, len(all))
	for i, m := range all {
		members[i] = identityMembership(m)
	}
	return object{"identityMemberships": members, "totalCount": len(members)}, err
}

// The other routes of one membership answer {"identityMembership":{...}}.
func identityMemberAnswer(m api.Membership, err error) (any, error) {
	return object{"identityMembership": identityMembership(m)}, err
}

func getIdentityMember(x *exchange) (any, error) {
	return identityMemberAnswer(x.h.cfg.Service.Member(x.r.Context(), x.caller, x.project(), secrets.ActorIdentity, x.params["identity"]))
}

func (x *exchange) rolesOfBody() ([]secrets.MemberRole, error) {
	var body rolesBody
	if err := x.body(&body); err != nil {
		return nil, err
	}
	return body.roles(x.h.cfg.Service.Now())
}

func addIdentityMember(x *exchange) (any, error) {
	roles, err := x.rolesOfBody()
	if err != nil {
		return nil, err
	}
	return identityMemberAnswer(x.h.cfg.Service.AddMember(x.r.Context(), x.caller, x.project(), secrets.ActorIdentity, x.params["identity"], roles))
}

func updateIdentityMember(x *exchange) (any, error) {
	roles, err := x.rolesOfBody()
	if err != nil {
		return nil, err
	}
	return identityMemberAnswer(x.h.cfg.Service.UpdateMember(x.r.Context(), x.caller, x.project(), secrets.ActorIdentity, x.params["identity"], roles))
}

func removeIdentityMember(x *exchange) (any, error) {
	return identityMemberAnswer(x.h.cfg.Service.RemoveMember(x.r.Context(), x.caller, x.project(), secrets.ActorIdentity, x.params["identity"]))
}

// listUserMembers answers {"memberships":[...]}.
func listUserMembers(x *exchange) (any, error) {
	all, err := x.h.cfg.Service.Members(x.r.Context(), x.caller, x.project(), secrets.ActorUser)
	return object{"memberships": all}, err
}

// addUserMembers adds people of the organisation by e-mail address.
func addUserMembers(x *exchange) (any, error) {
	var body struct {
		Emails    []string `json:"emails"`
		Usernames []string `json:"usernames"`
		RoleSlugs []string `json:"roleSlugs"`
	}
	if err := x.body(&body); err != nil {
		return nil, err
	}
	var roles []secrets.MemberRole
	for _, slug := range body.RoleSlugs {
		roles = append(roles, secrets.MemberRole{Role: slug})
	}
	if roles == nil {
		roles = []secrets.MemberRole{{Role: "member"}}
	}
	all, err := x.h.cfg.Service.AddPeople(x.r.Context(), x.caller, x.project(), append(body.Emails, body.Usernames...), roles)
	return object{"memberships": all}, err
}

func updateUserMember(x *exchange) (any, error) {
	roles, err := x.rolesOfBody()
	if err != nil {
		return nil, err
	}
	m, err := x.h.cfg.Service.UpdateMember(x.r.Context(), x.caller, x.project(), secrets.ActorUser, x.params["user"], roles)
	return object{"membership": m}, err
}

func removeUserMember(x *exchange) (any, error) {
	m, err := x.h.cfg.Service.RemoveMember(x.r.Context(), x.caller, x.project(), secrets.ActorUser, x.params["user"])
	return object{"membership": m}, err
}

// listRoles answers {"roles":[...]}.
func listRoles(x *exchange) (any, error) {
	all, err := x.h.cfg.Service.Roles(x.r.Context(), x.caller, x.project())
	return object{"roles": all}, err
}

func getRole(x *exchange) (any, error) {
	role, err := x.h.cfg.Service.Role(x.r.Context(), x.caller, x.project(), x.params["role"])
	return object{"role": role}, err
}

// createRole and updateRole differ in the parameter of their path alone.
var createRole, updateRole = setRole, setRole

func setRole(x *exchange) (any, error) {
	var body struct {
		Slug        *string     `json:"slug"`
		Name        *string     `json:"name"`
		Description *string     `json:"description"`
		Rules       *[]api.Rule `json:"permissions"`
	}
	if err := x.body(&body); err != nil {
		return nil, err
	}
	u := secrets.RoleUpdate{Slug: body.Slug, Name: body.Name, Description: body.Description}
	if body.Rules != nil {
		u.Rules = append([]api.Rule{}, *body.Rules...)
	}
	role, err := x.h.cfg.Service.SetRole(x.r.Context(), x.caller, x.project(), x.params["role"], u)
	return object{"role": role}, err
}

func deleteRole(x *exchange) (any, error) {
	role, err := x.h.cfg.Service.DeleteRole(x.r.Context(), x.caller, x.project(), x.params["role"])
	return object{"role": role}, err
}
