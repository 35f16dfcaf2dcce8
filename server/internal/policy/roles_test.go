package policy_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hanzoai/kms/server/internal/policy"
)

var (
	dev  = policy.Environment{Slugs: []string{"dev"}}
	prod = policy.Environment{Slugs: []string{"prod", "production"}, Restricted: true}
)

func builtIn(t testing.TB, person bool, roles ...string) policy.Access {
	t.Helper()
	a := policy.Access{Person: person}
	for _, role := range roles {
		if !a.Add(role) {
			t.Fatalf("role %q is not known", role)
		}
	}
	return a
}

func custom(person bool, rules ...policy.Rule) policy.Access {
	a := policy.Access{Person: person}
	a.AddCustom(rules)
	return a
}

// held are all project and folder actions that a may do on t.
func held(a policy.Access, t policy.Target) []policy.Action {
	var actions []policy.Action
	for _, action := range policy.FolderActions() {
		if a.Allows(action, t) {
			actions = append(actions, action)
		}
	}
	for _, action := range policy.ProjectActions() {
		if a.AllowsProject(action) {
			actions = append(actions, action)
		}
	}
	return actions
}

func TestEachBuiltInRoleHoldsExactlyItsRights(t *testing.T) {
	view := []policy.Action{policy.DescribeSecret, policy.ReadSecret, policy.ReadFolder}
	viewProject := []policy.Action{policy.ReadProject, policy.ReadMembers, policy.ReadRoles}
	memberProject := []policy.Action{policy.ReadProject, policy.ManageTags, policy.ReadMembers, policy.ReadRoles}
	everything := append(policy.FolderActions(), policy.ProjectActions()...)
	for _, tt := range []struct {
		who      string
		access   policy.Access
		dev, prd []policy.Action
	}{
		{"an outsider", policy.Access{}, nil, nil},
		{"a machine with no-access", builtIn(t, false, "no-access"), nil, nil},
		{"a machine viewer", builtIn(t, false, "viewer"), append(view, viewProject...), append(view, viewProject...)},
		{"a machine member", builtIn(t, false, "member"), append(policy.FolderActions(), memberProject...), append(policy.FolderActions(), memberProject...)},
		{"a machine admin", builtIn(t, false, "admin"), everything, everything},
		{"a person with no-access", builtIn(t, true, "no-access"), nil, nil},
		{"a person as viewer", builtIn(t, true, "viewer"), append(view, viewProject...), viewProject},
		{"a person as member", builtIn(t, true, "member"), append(policy.FolderActions(), memberProject...), memberProject},
		{"a person as admin", builtIn(t, true, "admin"), everything, everything},
		{"a person with no-access and viewer", builtIn(t, true, "no-access", "viewer"), append(view, viewProject...), viewProject},
		{"an organisation admin without membership", policy.Access{Person: true, Admin: true}, everything, everything},
	} {
		if diff := cmp.Diff(tt.dev, held(tt.access, policy.Target{Environment: dev, Path: "/a", Key: "K"})); diff != "" {
			t.Errorf("%s in dev (-want +got):\n%s", tt.who, diff)
		}
		if diff := cmp.Diff(tt.prd, held(tt.access, policy.Target{Environment: prod, Path: "/a", Key: "K"})); diff != "" {
			t.Errorf("%s in restricted prod (-want +got):\n%s", tt.who, diff)
		}
	}
}

func TestAnUnknownRoleGivesNothing(t *testing.T) {
	var a policy.Access
	if a.Add("owner") || a.Member || a.Admin || a.Rules != nil {
		t.Errorf("Add of an unknown role gave %+v", a)
	}
	if _, admin, known := policy.BuiltIn("Admin"); admin || known {
		t.Error("BuiltIn knows \"Admin\": role slugs are lower-case")
	}
}

func orgActions() []policy.Action {
	return []policy.Action{
		policy.ReadOrg, policy.EditOrg, policy.CreateProject, policy.ReadIdentities,
		policy.ManageIdentities, policy.ReadOrgMembers, policy.ManageOrgMembers, policy.ReadOrgAudit,
	}
}

func TestEachOrganisationRoleHoldsExactlyItsRights(t *testing.T) {
	everything := slices.Concat(orgActions(), policy.FolderActions(), policy.ProjectActions())
	for role, want := range map[string][]policy.Action{
		"admin":     orgActions(),
		"member":    {policy.ReadOrg, policy.CreateProject, policy.ReadIdentities, policy.ReadOrgMembers},
		"no-access": nil,
		"viewer":    nil,
		"":          nil,
	} {
		var got []policy.Action
		for _, action := range everything {
			if policy.OrgAllows(role, action) {
				got = append(got, action)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("organisation role %q (-want +got):\n%s", role, diff)
		}
	}
}

func TestAnActionOfTheWrongKindIsRefusedEvenToAdmins(t *testing.T) {
	admin := builtIn(t, false, "admin")
	target := policy.Target{Environment: dev, Path: "/"}
	for _, action := range slices.Concat(orgActions(), policy.ProjectActions(), []policy.Action{"", "secrets:*"}) {
		if admin.Allows(action, target) || admin.Any(action, dev) || admin.AnyIn(action, dev, "/") {
			t.Errorf("a project admin may do %q on a secret", action)
		}
	}
	for _, action := range slices.Concat(orgActions(), policy.FolderActions(), []policy.Action{"", "project:*"}) {
		if admin.AllowsProject(action) {
			t.Errorf("a project admin may do %q on the project", action)
		}
	}
}
