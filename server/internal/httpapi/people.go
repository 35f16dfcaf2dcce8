package httpapi

import (
	"github.com/hanzoai/kms/server/internal/secrets"
)

// listOrganizations answers {"organizations":[...]}: those of the caller.
func listOrganizations(x *exchange) (any, error) {
	all, err := x.h.cfg.Service.Organizations(x.r.Context(), x.caller)
	return object{"organizations": all}, err
}

// listAllOrganizations answers every organisation of the instance.
func listAllOrganizations(x *exchange) (any, error) {
	all, err := x.h.cfg.Service.AllOrganizations(x.r.Context(), x.caller)
	return object{"organizations": all}, err
}

// createOrganization answers {"organization":{...},"completeInviteLinks":[...]}.
func createOrganization(x *exchange) (any, error) {
	var body struct {
		Name   *string  `json:"name"`
		Emails []string `json:"inviteAdminEmails"`
	}
	if err := x.body(&body); err != nil {
		return nil, err
	}
	organization, invited, err := x.h.cfg.Service.CreateOrganization(x.r.Context(), x.caller, text(body.Name), body.Emails)
	return object{"organization": organization, "completeInviteLinks": links(invited)}, err
}

// links shows the set-password links of invited people, this once.
func links(invited []secrets.Invitation) []object {
	all := []object{}
	for _, one := range invited {
		if one.Link.Len() > 0 {
			all = append(all, object{"email": one.Email, "link": one.Link.Reveal()})
		}
	}
	return all
}

// invite answers {"message","completeInviteLinks":[...]}.
func invite(x *exchange) (any, error) {
	var body struct {
		Emails         []string `json:"inviteeEmails"`
		OrganizationID *string  `json:"organizationId"`
		Role           *string  `json:"organizationRoleSlug"`
	}
	if err := x.body(&body); err != nil {
		return nil, err
	}
	role := text(body.Role)
	if role == "" {
		role = "member"
	}
	invited, err := x.h.cfg.Service.Invite(x.r.Context(), x.caller, text(body.OrganizationID), body.Emails, role)
	return object{"message": "Successfully invited", "completeInviteLinks": links(invited)}, err
}

// listOrganizationMembers answers {"users":[{"role","user":{...}}]}.
func listOrganizationMembers(x *exchange) (any, error) {
	all, err := x.h.cfg.Service.OrganizationMembers(x.r.Context(), x.caller, x.params["organization"])
	members := make([]object, len(all))
	for i, m := range all {
		members[i] = object{"id": m.User.ID, "role": m.Role, "user": m.User}
	}
	return object{"users": members}, err
}

func removeOrganizationMember(x *exchange) (any, error) {
	err := x.h.cfg.Service.RemoveOrganizationMember(x.r.Context(), x.caller, x.params["organization"], x.params["user"])
	return object{"message": "Successfully removed"}, err
}

// getSelf answers {"user":{...}} to a person, {"identity":{...}} to a machine.
func getSelf(x *exchange) (any, error) {
	user, identity, err := x.h.cfg.Service.Self(x.r.Context(), x.caller)
	if identity != nil {
		return object{"identity": identity}, err
	}
	return object{"user": user}, err
}
