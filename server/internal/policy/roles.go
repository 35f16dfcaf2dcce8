package policy

// The built-in roles. All four exist in projects, all but RoleViewer in
// organisations.
const (
	RoleAdmin    = "admin"
	RoleMember   = "member"
	RoleViewer   = "viewer"
	RoleNoAccess = "no-access" // membership without rights
)

// BuiltIn is the table of the built-in project roles: the rules that a role
// carries, or that it is admin and holds everything in the project. A role
// that is not known carries nothing.
func BuiltIn(role string) (rules []Rule, admin, known bool) {
	view := []Action{DescribeSecret, ReadSecret, ReadFolder, ReadProject, ReadMembers, ReadRoles}
	change := []Action{
		CreateSecret, EditSecret, DeleteSecret, CreateFolder, EditFolder, DeleteFolder, ManageTags,
	}
	switch role {
	case RoleAdmin:
		return nil, true, true
	case RoleMember:
		return []Rule{{Actions: append(view, change...)}}, false, true
	case RoleViewer:
		return []Rule{{Actions: view}}, false, true
	case RoleNoAccess:
		return nil, false, true
	}
	return nil, false, false
}

// Add makes the subject a member with one more built-in role, and reports
// whether the role is known; an unknown one adds nothing, membership included.
func (a *Access) Add(role string) bool {
	rules, admin, known := BuiltIn(role)
	if !known {
		return false
	}
	a.Member = true
	a.Admin = a.Admin || admin
	a.Rules = append(a.Rules, rules...)
	return true
}

// AddCustom makes the subject a member with the rules of one more custom role.
func (a *Access) AddCustom(rules []Rule) {
	a.Member = true
	a.Custom = append(a.Custom, rules...)
}

// OrgAllows is the table of the organisation roles: whether a holder of role
// may do action, one of the actions on an organisation.
func OrgAllows(role string, action Action) bool {
	switch action {
	case ReadOrg, CreateProject, ReadIdentities, ReadOrgMembers:
		return role == RoleAdmin || role == RoleMember
	case EditOrg, ManageIdentities, ManageOrgMembers, ReadOrgAudit:
		return role == RoleAdmin
	}
	return false
}
