package policy_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/internal/policy"
)

func TestNobodyGivesWhatHeDoesNotHold(t *testing.T) {
	read := actions(policy.ReadSecret)
	machine := func(r ...rule) policy.Access { return custom(false, r...) }
	person := func(r ...rule) policy.Access { return custom(true, r...) }
	in := func(list ...string) rule { return rule{Actions: read, Environments: list} }
	at := func(list ...string) rule { return rule{Actions: read, Paths: list} }
	keys := func(list ...string) rule { return rule{Actions: read, Keys: list} }
	everything := rule{Actions: append(policy.FolderActions(), policy.ProjectActions()...)}
	for _, tt := range []struct {
		name    string
		a, b    policy.Access
		missing policy.Action // "": covered
	}{
		{"an outsider covers who holds nothing", policy.Access{}, policy.Access{}, ""},
		{"an outsider covers membership without rights", policy.Access{}, builtIn(t, true, "no-access"), ""},
		{"an outsider covers no viewer", policy.Access{}, builtIn(t, true, "viewer"), policy.DescribeSecret},
		{"an admin covers an admin", builtIn(t, true, "admin"), builtIn(t, false, "admin"), ""},
		{"an admin covers every rule", builtIn(t, true, "admin"), machine(everything), ""},
		{"a member covers no admin", builtIn(t, false, "member"), builtIn(t, false, "admin"), policy.EditProject},
		{"everything by rules is still no admin", machine(everything), builtIn(t, false, "admin"), policy.DeleteProject},
		{"a machine member covers a machine viewer", builtIn(t, false, "member"), builtIn(t, false, "viewer"), ""},
		{"a viewer covers no member", builtIn(t, false, "viewer"), builtIn(t, false, "member"), policy.CreateSecret},
		{"a person under the ceiling covers another person under it", builtIn(t, true, "member"), builtIn(t, true, "viewer"), ""},
		{"a person under the ceiling covers no machine", builtIn(t, true, "member"), builtIn(t, false, "viewer"), policy.DescribeSecret},
		{"a person under the ceiling covers a machine elsewhere", builtIn(t, true, "member"), machine(in("dev")), ""},
		{"a person does not lift the ceiling for another", builtIn(t, true, "member"), person(in("prod")), policy.DescribeSecret},
		{"a person whom the ceiling was lifted for may", person(in("prod")), machine(in("prod")), ""},
		{"an alias is its environment", machine(in("prod")), machine(in("production")), ""},
		{"a pattern is wider than a name", machine(in("p*")), machine(in("prod")), ""},
		{"all of today's environments are not tomorrow's", machine(in("dev", "prod")), machine(in("*")), policy.DescribeSecret},
		{"an environment that is not there yet is not given either", machine(in("dev")), machine(in("qa")), policy.DescribeSecret},
		{"a pattern covers itself", machine(in("p*-eu")), machine(in("p*-eu")), ""},
		{"reading covers describing", machine(rule{Actions: read}), machine(rule{Actions: actions(policy.DescribeSecret)}), ""},
		{"describing does not cover reading", machine(rule{Actions: actions(policy.DescribeSecret)}), machine(rule{Actions: read}), policy.ReadSecret},
		{"a project action is a right too", builtIn(t, false, "member"), machine(rule{Actions: actions(policy.ReadAudit)}), policy.ReadAudit},
		{"a project action is covered by itself", machine(rule{Actions: actions(policy.ReadAudit)}), machine(rule{Actions: actions(policy.ReadAudit)}), ""},

		{"all paths in either form are all paths", machine(at("/**")), machine(at("**")), ""},
		{"no list is all paths", machine(rule{Actions: read}), machine(at("/**")), ""},
		{"all paths are no list", machine(at("/**")), machine(rule{Actions: read}), ""},
		{"one folder is not all paths", machine(at("/a/**")), machine(rule{Actions: read}), policy.DescribeSecret},
		{"a tree covers its root", machine(at("/a/**")), machine(at("/a")), ""},
		{"a tree covers itself", machine(at("/a/**")), machine(at("/a/**")), ""},
		{"a tree covers a tree in it", machine(at("/a/**")), machine(at("/a/*/c/**/d*")), ""},
		{"a tree does not cover its neighbour", machine(at("/a/**")), machine(at("/a*/**")), policy.DescribeSecret},
		{"one level does not cover a tree", machine(at("/a/*")), machine(at("/a/**")), policy.DescribeSecret},
		{"two levels do not cover a tree", machine(at("/*", "/*/*")), machine(at("/**")), policy.DescribeSecret},
		{"one level covers a folder of it", machine(at("/a/*")), machine(at("/a/x*y")), ""},
		{"the level below the root does not cover the root", machine(at("/*")), machine(at("/")), policy.DescribeSecret},
		{"each path needs a cover", machine(at("/a/**")), machine(at("/a/b", "/c")), policy.DescribeSecret},
		{"several rules cover several paths", machine(at("/a/**"), at("/c")), machine(at("/a/b", "/c")), ""},

		{"a key pattern covers a narrower one", machine(keys("DB_*")), machine(keys("DB_*_URL", "DB_USER")), ""},
		{"a key pattern covers no wider one", machine(keys("DB_*_URL")), machine(keys("DB_*")), policy.DescribeSecret},
		{"all keys in either form are all keys", machine(keys("*")), machine(keys("**")), ""},
		{"some keys are not all", machine(keys("*_*")), machine(rule{Actions: read}), policy.DescribeSecret},
		{"path and key must be in one rule",
			machine(rule{Actions: read, Paths: []string{"/a"}, Keys: []string{"X"}}, rule{Actions: read, Paths: []string{"/b"}, Keys: []string{"Y"}}),
			machine(rule{Actions: read, Paths: []string{"/a"}, Keys: []string{"Y"}}), policy.DescribeSecret},
	} {
		t.Run(tt.name, func(t *testing.T) {
			missing, covered := tt.a.Covers(tt.b, []policy.Environment{dev, prod})
			if missing != tt.missing || covered != (tt.missing == "") {
				t.Errorf("Covers = %q, %v; want %q, %v", missing, covered, tt.missing, tt.missing == "")
			}
		})
	}
}

// TestContainmentOfPathPatternsIsSound compares every two short patterns on
// every short path.
func TestContainmentOfPathPatternsIsSound(t *testing.T) {
	var patterns []string
	for _, word := range words("a/*", 5) {
		if _, err := policy.ParseRules([]api.Rule{{Actions: []string{"secrets:read"}, Paths: []string{word}}}); err == nil {
			patterns = append(patterns, word)
		}
	}
	var paths []string
	for _, word := range words("ab/", 6) {
		if path, err := api.ParsePath(word); err == nil && path == word {
			paths = append(paths, word)
		}
	}
	at := make([]policy.Access, len(patterns))
	matched := make([][]string, len(patterns))
	for i, pattern := range patterns {
		at[i] = custom(false, rule{Actions: actions(policy.ReadFolder), Paths: []string{pattern}})
		for _, path := range paths {
			if at[i].Allows(policy.ReadFolder, policy.Target{Environment: dev, Path: path}) {
				matched[i] = append(matched[i], path)
			}
		}
	}
	yes := 0
	for i := range patterns {
		for j := range patterns {
			if _, covered := at[i].Covers(at[j], nil); !covered {
				continue
			}
			yes++
			for _, path := range matched[j] {
				if !slices.Contains(matched[i], path) {
					t.Fatalf("%q is said to contain %q, which matches %q", patterns[i], patterns[j], path)
				}
			}
		}
	}
	if yes <= 2*len(patterns) {
		t.Errorf("only %d containments among %d patterns", yes, len(patterns))
	}
}

// world draws subjects and targets from words that meet often.
type world struct{ *rand.Rand }

func newWorld() world { return world{rand.New(rand.NewPCG(1, 2))} }

func pick[T any](w world, from ...T) T { return from[w.IntN(len(from))] }

func (w world) some(from ...string) []string {
	var list []string
	for range w.IntN(3) {
		list = append(list, pick(w, from...))
	}
	return list
}

// word is a string of at most length bytes of alphabet.
func (w world) word(alphabet string, length int) string {
	word := make([]byte, w.IntN(length+1))
	for i := range word {
		word[i] = alphabet[w.IntN(len(alphabet))]
	}
	return string(word)
}

func (w world) rule() rule {
	r := rule{
		Environments: w.some("dev", "prod", "production", "qa", "p*", "*", "**", "*o*"),
		Paths:        w.some("/", "/a", "/a/b", "/*", "/a/*", "/a/**", "/**", "**", "/**/b", "/a*", "/a**", "**b"),
		Keys:         w.some("X", "XY", "X*", "*", "**", "*Y", "X*Y"),
	}
	everything := append(policy.FolderActions(), policy.ProjectActions()...)
	for range 1 + w.IntN(2) {
		r.Actions = append(r.Actions, pick(w, everything[:6]...), pick(w, everything...))
	}
	return r
}

func (w world) access() policy.Access {
	a := policy.Access{Person: w.IntN(2) == 0, Admin: w.IntN(40) == 0, Member: w.IntN(20) > 0}
	for range w.IntN(3) {
		a.Custom = append(a.Custom, w.rule())
	}
	if role := pick(w, "", "", "", "viewer", "member", "no-access"); role != "" {
		a.Add(role)
	}
	return a
}

func (w world) target(envs []policy.Environment) policy.Target {
	return policy.Target{
		Environment: pick(w, envs...),
		Path:        pick(w, "/", "/a", "/b", "/ab", "/a/b", "/a/b/c", "/b/b", "/a/xb"),
		Key:         pick(w, "", "X", "Y", "XY", "XZY", "Z"),
	}
}

func TestWhatIsCoveredIsHeld(t *testing.T) {
	w := newWorld()
	listed := []policy.Environment{dev, prod, {Slugs: []string{"proxy"}, Restricted: true}}
	unlisted := []policy.Environment{{Slugs: []string{"qa"}}, {Slugs: []string{"pilot"}}}
	covered, told := 0, 0
	for range 100_000 {
		a, b := w.access(), w.access()
		if w.IntN(2) == 0 { // kinship makes covering likely
			b.Rules, b.Custom = a.Rules, a.Custom[:w.IntN(len(a.Custom)+1)]
		}
		if _, yes := a.Covers(b, listed); !yes {
			continue
		}
		covered++
		for range 4 {
			target := w.target(slices.Concat(listed, unlisted))
			for _, action := range policy.FolderActions() {
				if b.Allows(action, target) {
					told++
					if !a.Allows(action, target) {
						t.Fatalf("%+v\ncovers\n%+v\nbut only the other may %q on %+v", a, b, action, target)
					}
				}
			}
		}
		for _, action := range policy.ProjectActions() {
			if b.AllowsProject(action) && !a.AllowsProject(action) {
				t.Fatalf("%+v\ncovers\n%+v\nbut only the other may %q", a, b, action)
			}
		}
	}
	if covered < 10_000 || told < 50_000 {
		t.Errorf("the test saw only %d covered pairs and %d rights", covered, told)
	}
}

func TestOneMoreRuleNeverTakesARightAway(t *testing.T) {
	w := newWorld()
	for range 10_000 {
		less, target := w.access(), w.target([]policy.Environment{dev, prod})
		more := less
		if w.IntN(2) == 0 {
			more.Custom = append([]rule{w.rule()}, less.Custom...)
		} else {
			more.Rules = append([]rule{w.rule()}, less.Rules...)
		}
		for _, action := range held(less, target) {
			if !more.Allows(action, target) && !more.AllowsProject(action) {
				t.Fatalf("%+v\nmay %q on %+v, with one more rule no longer:\n%+v", less, action, target, more)
			}
		}
		if missing, covered := more.Covers(less, []policy.Environment{dev, prod}); !covered {
			t.Fatalf("%+v\ndoes not cover itself without one rule: %q is missing in\n%+v", more, missing, less)
		}
	}
}

func TestEveryListObeysTheRulesForItsEntries(t *testing.T) {
	w := newWorld()
	for range 30_000 {
		a, target := w.access(), w.target([]policy.Environment{dev, prod})
		for _, action := range policy.FolderActions() {
			entry := a.Allows(action, target)
			folder := a.AnyIn(action, target.Environment, target.Path)
			environment := a.Any(action, target.Environment)
			if entry && !folder || folder && !environment {
				t.Fatalf("%+v\n%q on %+v: entry %v, folder %v, environment %v", a, action, target, entry, folder, environment)
			}
		}
	}
}
