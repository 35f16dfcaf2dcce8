package policy_test

import (
	"testing"

	"github.com/hanzoai/kms/server/internal/policy"
)

type rule = policy.Rule

func actions(list ...policy.Action) []policy.Action { return list }

func TestACustomRuleAllowsWhatAllItsPatternsMatch(t *testing.T) {
	staging := policy.Environment{Slugs: []string{"staging"}}
	read := actions(policy.ReadSecret)
	all := actions(policy.FolderActions()...)
	for _, tt := range []struct {
		name   string
		rule   rule
		action policy.Action
		env    policy.Environment
		path   string
		key    string
		want   bool
	}{
		{"a rule without patterns is for everything", rule{Actions: read}, policy.ReadSecret, dev, "/a", "K", true},
		{"an action that is not in the rule is refused", rule{Actions: read}, policy.EditSecret, dev, "/a", "K", false},
		{"reading implies describing", rule{Actions: read}, policy.DescribeSecret, dev, "/a", "K", true},
		{"describing does not imply reading", rule{Actions: actions(policy.DescribeSecret)}, policy.ReadSecret, dev, "/a", "K", false},
		{"editing does not imply reading", rule{Actions: actions(policy.EditSecret)}, policy.ReadSecret, dev, "/a", "K", false},
		{"the environment is matched", rule{Actions: read, Environments: []string{"dev"}}, policy.ReadSecret, dev, "/a", "K", true},
		{"another environment is not", rule{Actions: read, Environments: []string{"dev"}}, policy.ReadSecret, staging, "/a", "K", false},
		{"one pattern of several is enough", rule{Actions: read, Environments: []string{"dev", "stag*"}}, policy.ReadSecret, staging, "/a", "K", true},
		{"an environment is matched by its slug", rule{Actions: read, Environments: []string{"prod"}}, policy.ReadSecret, prod, "/a", "K", true},
		{"an environment is matched by its alias", rule{Actions: read, Environments: []string{"production"}}, policy.ReadSecret, prod, "/a", "K", true},
		{"a path pattern for the root is the root", rule{Actions: read, Paths: []string{"/"}}, policy.ReadSecret, dev, "/", "K", true},
		{"a path pattern for the root is nothing else", rule{Actions: read, Paths: []string{"/"}}, policy.ReadSecret, dev, "/a", "K", false},
		{"all paths include the root", rule{Actions: read, Paths: []string{"/**"}}, policy.ReadSecret, dev, "/", "K", true},
		{"all paths, in the short form, include the root", rule{Actions: read, Paths: []string{"**"}}, policy.ReadSecret, dev, "/", "K", true},
		{"the folders below the root do not include the root", rule{Actions: read, Paths: []string{"/*"}}, policy.ReadSecret, dev, "/", "K", false},
		{"the folders below the root are included", rule{Actions: read, Paths: []string{"/*"}}, policy.ReadSecret, dev, "/a", "K", true},
		{"a folder with all below it includes itself", rule{Actions: read, Paths: []string{"/a/**"}}, policy.ReadSecret, dev, "/a", "K", true},
		{"a folder with all below it goes deep", rule{Actions: read, Paths: []string{"/a/**"}}, policy.ReadSecret, dev, "/a/b/c", "K", true},
		{"a folder with all below it is no prefix of names", rule{Actions: read, Paths: []string{"/a/**"}}, policy.ReadSecret, dev, "/ab", "K", false},
		{"a key pattern is matched", rule{Actions: read, Keys: []string{"DB_*"}}, policy.ReadSecret, dev, "/a", "DB_URL", true},
		{"another key is not", rule{Actions: read, Keys: []string{"DB_*"}}, policy.ReadSecret, dev, "/a", "API_KEY", false},
		{"some keys are not the folder as a whole", rule{Actions: read, Keys: []string{"DB_*", "*_URL"}}, policy.ReadSecret, dev, "/a", "", false},
		{"all keys are the folder as a whole", rule{Actions: read, Keys: []string{"*"}}, policy.ReadSecret, dev, "/a", "", true},
		{"all patterns must match at once", rule{Actions: read, Environments: []string{"dev"}, Paths: []string{"/a"}, Keys: []string{"DB_*"}}, policy.ReadSecret, dev, "/b", "DB_URL", false},
		{"key patterns do not limit reading folders", rule{Actions: all, Keys: []string{"DB_*"}}, policy.ReadFolder, dev, "/a", "", true},
		{"key patterns do not give the folder with all its keys away", rule{Actions: all, Keys: []string{"DB_*"}}, policy.DeleteFolder, dev, "/a", "", false},
		{"paths limit folders", rule{Actions: all, Paths: []string{"/a/**"}}, policy.CreateFolder, dev, "/b", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			target := policy.Target{Environment: tt.env, Path: tt.path, Key: tt.key}
			if got := custom(false, tt.rule).Allows(tt.action, target); got != tt.want {
				t.Errorf("Allows(%q, %v) by %+v = %v, want %v", tt.action, target, tt.rule, got, tt.want)
			}
		})
	}
}

func TestARestrictedEnvironmentIsACeilingOnPeople(t *testing.T) {
	open := policy.Environment{Slugs: []string{"prod", "production"}}
	member := builtIn(t, true, "member")
	with := func(environments ...string) policy.Access {
		a := member
		a.AddCustom([]rule{{Actions: actions(policy.ReadSecret), Environments: environments}})
		return a
	}
	for _, tt := range []struct {
		name   string
		access policy.Access
		env    policy.Environment
		action policy.Action
		want   bool
	}{
		{"a member reads an open environment", member, open, policy.ReadSecret, true},
		{"a member does not read a restricted one", member, prod, policy.ReadSecret, false},
		{"a member does not even describe there", member, prod, policy.DescribeSecret, false},
		{"a machine member reads there", builtIn(t, false, "member"), prod, policy.ReadSecret, true},
		{"an admin reads there", builtIn(t, true, "admin"), prod, policy.ReadSecret, true},
		{"a custom rule without environments does not lift it", with(), prod, policy.ReadSecret, false},
		{"a custom rule for * does not lift it", with("*"), prod, policy.ReadSecret, false},
		{"a custom rule for ** does not lift it", with("**"), prod, policy.ReadSecret, false},
		{"a custom rule for another environment does not lift it", with("dev"), prod, policy.ReadSecret, false},
		{"a custom rule that names it lifts it", with("prod"), prod, policy.ReadSecret, true},
		{"a custom rule that names its alias lifts it", with("production"), prod, policy.ReadSecret, true},
		{"a custom rule that names it by a pattern lifts it", with("prod*"), prod, policy.ReadSecret, true},
		{"a custom rule that names it beside * lifts it", with("*", "prod"), prod, policy.ReadSecret, true},
		{"what the naming rule does not give stays below the ceiling", with("prod"), prod, policy.EditSecret, false},
		{"a machine needs no name in its custom rules", custom(false, rule{Actions: actions(policy.ReadSecret)}), prod, policy.ReadSecret, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.access.Allows(tt.action, policy.Target{Environment: tt.env, Path: "/", Key: "K"}); got != tt.want {
				t.Errorf("Allows(%q) = %v, want %v", tt.action, got, tt.want)
			}
			if got := tt.access.Any(tt.action, tt.env); got != tt.want {
				t.Errorf("Any(%q) = %v, want %v", tt.action, got, tt.want)
			}
		})
	}
}

func TestAListIsOpenToWhoeverMaySeeSomeOfIt(t *testing.T) {
	a := custom(false, rule{Actions: actions(policy.ReadSecret), Environments: []string{"dev"}, Paths: []string{"/a/**"}, Keys: []string{"DB_*"}})
	for _, tt := range []struct {
		env  policy.Environment
		path string
		want bool
	}{
		{dev, "/a", true},
		{dev, "/a/b", true},
		{dev, "/", false},
		{prod, "/a", false},
	} {
		if got := a.AnyIn(policy.DescribeSecret, tt.env, tt.path); got != tt.want {
			t.Errorf("AnyIn(describe, %v, %q) = %v, want %v", tt.env.Slugs, tt.path, got, tt.want)
		}
	}
	if !a.Any(policy.ReadSecret, dev) || a.Any(policy.ReadSecret, prod) || a.Any(policy.EditSecret, dev) {
		t.Error("Any holds for something other than reading in dev")
	}
}

func TestProjectActionsComeFromRulesOfAnyRole(t *testing.T) {
	auditor := custom(true, rule{Actions: actions(policy.ReadAudit)})
	if !auditor.AllowsProject(policy.ReadAudit) || !auditor.AllowsProject(policy.ReadProject) {
		t.Error("an auditor may not read the audit trail and the project it is of")
	}
	if auditor.AllowsProject(policy.ManageMembers) || auditor.Any(policy.DescribeSecret, dev) {
		t.Error("an auditor may do more than read the audit trail")
	}
}

func TestRulesWithoutMembershipGiveNothing(t *testing.T) {
	a := policy.Access{Rules: []rule{{Actions: append(policy.FolderActions(), policy.ProjectActions()...)}}}
	if got := held(a, policy.Target{Environment: dev, Path: "/", Key: "K"}); got != nil {
		t.Errorf("somebody who is no member may do %v", got)
	}
}

// manyRules is a subject with more rules than most will ever have, of which
// the last one decides.
func manyRules(person bool) policy.Access {
	a := policy.Access{Person: person}
	a.Add("viewer")
	for _, team := range []string{"ads", "billing", "chat", "data", "edge", "feed", "growth"} {
		a.AddCustom([]rule{{
			Actions:      actions(policy.ReadFolder, policy.ReadSecret, policy.EditSecret),
			Environments: []string{"dev", "prod"}, Paths: []string{"/" + team + "/**"}, Keys: []string{"*_URL", "DB_*"},
		}})
	}
	return a
}

func TestDecidingDoesNotAllocate(t *testing.T) {
	a := manyRules(true)
	target := policy.Target{Environment: prod, Path: "/growth/api/v2", Key: "DB_PASSWORD"}
	allowed := false
	allocs := testing.AllocsPerRun(100, func() {
		allowed = a.Allows(policy.EditSecret, target) && a.AnyIn(policy.ReadSecret, prod, "/growth") &&
			a.Any(policy.ReadSecret, prod) && a.AllowsProject(policy.ReadMembers)
	})
	if !allowed || allocs != 0 {
		t.Errorf("allowed = %v with %v allocations, want true with 0", allowed, allocs)
	}
}

func BenchmarkAllowsByABuiltInRole(b *testing.B) {
	a := builtIn(b, false, "viewer")
	benchmarkAllows(b, a, policy.ReadSecret)
}

func BenchmarkAllowsByTheLastOfManyRules(b *testing.B) {
	benchmarkAllows(b, manyRules(true), policy.EditSecret)
}

func benchmarkAllows(b *testing.B, a policy.Access, action policy.Action) {
	target := policy.Target{Environment: prod, Path: "/growth/api/v2", Key: "DB_PASSWORD"}
	b.ReportAllocs()
	for b.Loop() {
		if !a.Allows(action, target) {
			b.Fatal("refused")
		}
	}
}
