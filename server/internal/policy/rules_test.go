package policy_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/internal/policy"
)

func TestParseRulesTakesWhatARoleMayCarry(t *testing.T) {
	got, err := policy.ParseRules([]api.Rule{
		{Actions: []string{"secrets:read", "folders:read", "secrets:read"}, Environments: []string{"prod*", "dev"}, Paths: []string{"/", "/a/**", "**/db"}, Keys: []string{"DB_*", "a.b-c"}},
		{Actions: []string{"audit:read"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []rule{
		{Actions: actions(policy.ReadSecret, policy.ReadFolder), Environments: []string{"prod*", "dev"}, Paths: []string{"/", "/a/**", "**/db"}, Keys: []string{"DB_*", "a.b-c"}},
		{Actions: actions(policy.ReadAudit)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ParseRules (-want +got):\n%s", diff)
	}
	for _, action := range append(policy.FolderActions(), policy.ProjectActions()...) {
		if _, err := policy.ParseRules([]api.Rule{{Actions: []string{string(action)}}}); err != nil {
			t.Errorf("%q: %v", action, err)
		}
	}
}

func TestParseRulesSaysWhereTheFaultIsAndWhatWouldBeRight(t *testing.T) {
	one := func(r api.Rule) []api.Rule { return []api.Rule{r} }
	read := []string{"secrets:read"}
	env := func(p string) []api.Rule { return one(api.Rule{Actions: read, Environments: []string{"dev", p}}) }
	path := func(p string) []api.Rule { return one(api.Rule{Actions: read, Paths: []string{p}}) }
	key := func(p string) []api.Rule { return one(api.Rule{Actions: read, Keys: []string{p}}) }
	for _, tt := range []struct {
		name  string
		rules []api.Rule
		want  string // in the message
	}{
		{"no action", []api.Rule{{Actions: read}, {}}, `rule 2 of the role: it allows no action`},
		{"a word of another system", one(api.Rule{Actions: []string{"secrets:readValue"}}), `action 1 is unknown: the nearest one is "secrets:read"`},
		{"a typing error", one(api.Rule{Actions: []string{"secrets:read", "folder:delete"}}), `action 2 is unknown: the nearest one is "folders:delete"`},
		{"an action in capitals", one(api.Rule{Actions: []string{"Members:manage"}}), `the nearest one is "members:manage"`},
		{"an action on the organisation", one(api.Rule{Actions: []string{"identities:manage"}}), `action 1 is unknown`},
		{"a very long action", one(api.Rule{Actions: []string{strings.Repeat("x", 1<<20)}}), `action 1 is unknown: give one such as "secrets:read"`},
		{"a project action beside patterns", one(api.Rule{Actions: []string{"members:manage"}, Environments: []string{"dev"}}), `no pattern limits it`},
		{"a folder action beside key patterns", one(api.Rule{Actions: []string{"folders:delete"}, Keys: []string{"DB_*"}}), `without key patterns`},
		{"an empty pattern", env(""), `environment pattern 2 is empty`},
		{"an environment in capitals", env("Prod"), `environment pattern 2 has a character at byte 1`},
		{"an environment as a path", env("dev/a"), `give a-z, 0-9, '-' and '*'`},
		{"an environment that is too long", env(strings.Repeat("x", 65)), `has 65 bytes: give at most 64`},
		{"three stars", path("/a/***"), `more than two '*' in a row`},
		{"a path without a slash", path("a/b"), `start it with "/"`},
		{"a single star for all paths", path("*"), `give "/**" for all`},
		{"a path with a slash at its end", path("/a/"), `has an empty folder name`},
		{"a path with an empty name", path("/a//b"), `has an empty folder name`},
		{"a path that walks", path("/a/../b"), `a character at byte 4`},
		{"a path with a zero byte", path("/a\x00"), `a character at byte 3`},
		{"a path that looks like another", path("/\u0430"), `a character at byte 2`},
		{"a path that is too long", path("/" + strings.Repeat("x", 512)), `has 513 bytes: give at most 512`},
		{"a key with a space", key("DB PASSWORD"), `key pattern 1 has a character at byte 3`},
		{"a key with a slash", key("a/B"), `a character at byte 2`},
		{"a key that is too long", key(strings.Repeat("x", 256)), `has 256 bytes: give at most 255`},
		{"too many rules", slices.Repeat([]api.Rule{{Actions: read}}, 51), `has 51 rules: give at most 50`},
		{"too many patterns", one(api.Rule{Actions: read, Keys: slices.Repeat([]string{"K"}, 101)}), `has 101 patterns: give at most 100`},
		{"too many patterns in all rules together", slices.Repeat([]api.Rule{{Actions: read, Keys: []string{"K", "L", "M"}}}, 34), `has 102 patterns`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rules, err := policy.ParseRules(tt.rules)
			if rules != nil || !errors.Is(err, api.ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("ParseRules = %v, %v; want an invalid request with %q", rules, err, tt.want)
			}
		})
	}
}

func TestAnErrorOfParseRulesQuotesNoInput(t *testing.T) {
	const pasted = "hunter2-swordfish/\\:"
	for _, r := range []api.Rule{
		{Actions: []string{pasted}},
		{Actions: []string{"secrets:read"}, Environments: []string{pasted}},
		{Actions: []string{"secrets:read"}, Paths: []string{pasted}},
		{Actions: []string{"secrets:read"}, Keys: []string{pasted}},
	} {
		_, err := policy.ParseRules([]api.Rule{r})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("ParseRules(%+v) = %v, want an error that does not quote it", r, err)
		}
	}
}

func FuzzParseRules(f *testing.F) {
	f.Add(`[{"actions":["secrets:read"],"environments":["prod","p*"],"paths":["/a/**","/**/b*/c"],"keys":["DB_*"]}]`)
	f.Add(`[{"actions":["audit:read","members:manage"]},{"actions":["folders:read"],"paths":["**/db","/a**b"]}]`)
	f.Add(`[{"actions":["secrets:readValue"],"keys":["***"]}]`)
	f.Add(`[{"actions":["folders:delete"],"environments":["**"],"paths":["/**/**"]}]`)
	f.Fuzz(func(t *testing.T, text string) {
		var wire []api.Rule
		if json.Unmarshal([]byte(text), &wire) != nil {
			t.Skip("not the JSON of rules")
		}
		rules, err := policy.ParseRules(wire)
		if err != nil {
			if rules != nil || !errors.Is(err, api.ErrInvalid) {
				t.Fatalf("ParseRules = %v, %v", rules, err)
			}
			return
		}
		again, err := policy.ParseRules(onWire(rules))
		if err != nil || !cmp.Equal(rules, again) {
			t.Fatalf("stored and read again, %+v is %+v, %v", rules, again, err)
		}
		for _, person := range []bool{false, true} {
			a := custom(person, rules...)
			if missing, covered := a.Covers(a, []policy.Environment{dev, prod}); !covered {
				t.Fatalf("%+v does not cover itself: %q", rules, missing)
			}
		}
	})
}

func onWire(rules []rule) []api.Rule {
	var wire []api.Rule
	for _, r := range rules {
		var names []string
		for _, action := range r.Actions {
			names = append(names, string(action))
		}
		wire = append(wire, api.Rule{Actions: names, Environments: r.Environments, Paths: r.Paths, Keys: r.Keys})
	}
	return wire
}
