package policy

import (
	"slices"
	"strings"

	"github.com/hanzoai/kms/api"
)

// Limits of a custom role, so that deciding, and comparing two roles pattern
// by pattern, stays cheap whatever somebody stores.
const (
	MaxRules       = 50  // in one role
	MaxPatterns    = 100 // in all rules of one role together
	MaxPathPattern = 512 // bytes; slug and key patterns are as long as slugs and keys
)

// Rule allows its actions on what all three lists of patterns match; an empty
// list matches everything. Patterns are those of Match, with one addition for
// paths: the root "/" is matched by "/", "/**" and "**" alone.
//
// An environment is matched when any of its slugs is. Keys limit secrets; the
// key patterns do not limit ReadFolder, since a folder has no key, and the
// other folder actions, which touch all keys in it, need a rule for all keys.
// No pattern limits an action on the project as a whole.
type Rule struct {
	Actions                   []Action
	Environments, Paths, Keys []string
}

func (r *Rule) carries(action Action) bool {
	for _, carried := range r.Actions {
		if carried == action || carried == ReadSecret && action == DescribeSecret {
			return true
		}
	}
	return false
}

func (r *Rule) matchesPath(path string) bool {
	if len(r.Paths) == 0 {
		return true
	}
	for _, pattern := range r.Paths {
		if matchPath(pattern, path) {
			return true
		}
	}
	return false
}

// reaches reports whether r is about env; if it must be named, whether r names
// it: a pattern of wildcards alone, like no pattern, names nothing.
func (r *Rule) reaches(env Environment, named bool) bool {
	if len(r.Environments) == 0 {
		return !named
	}
	for _, pattern := range r.Environments {
		if named && bare(pattern) {
			continue
		}
		for _, slug := range env.Slugs {
			if Match(pattern, slug) {
				return true
			}
		}
	}
	return false
}

func matchesAny(patterns []string, name string) bool {
	if len(patterns) == 0 {
		return true
	}
	for _, pattern := range patterns {
		if Match(pattern, name) {
			return true
		}
	}
	return false
}

// ParseRules checks the rules of a custom role and gives them in the form that
// Access takes; a rule that it has taken means something and stays small.
// Errors are api.ErrInvalid, say where the fault is, and quote no input.
func ParseRules(wire []api.Rule) ([]Rule, error) {
	if len(wire) > MaxRules {
		return nil, api.Errorf(api.ErrInvalid, "the role has %d rules: give at most %d", len(wire), MaxRules)
	}
	rules := make([]Rule, 0, len(wire))
	patterns := 0
	for i, w := range wire {
		r, err := parseRule(w)
		if err != nil {
			return nil, api.Errorf(api.ErrInvalid, "rule %d of the role: %w", i+1, err)
		}
		rules = append(rules, r)
		patterns += len(r.Environments) + len(r.Paths) + len(r.Keys)
	}
	if patterns > MaxPatterns {
		return nil, api.Errorf(api.ErrInvalid, "the role has %d patterns: give at most %d, with wildcards or in several roles", patterns, MaxPatterns)
	}
	return rules, nil
}

func parseRule(w api.Rule) (Rule, error) {
	r := Rule{
		Environments: slices.Clone(w.Environments),
		Paths:        slices.Clone(w.Paths),
		Keys:         slices.Clone(w.Keys),
	}
	for _, list := range []struct {
		what     string
		patterns []string
		check    func(string) error
	}{
		{"environment", r.Environments, checkSlugPattern},
		{"path", r.Paths, checkPathPattern},
		{"key", r.Keys, checkKeyPattern},
	} {
		for i, pattern := range list.patterns {
			if err := list.check(pattern); err != nil {
				return Rule{}, api.Errorf(api.ErrInvalid, "%s pattern %d %w", list.what, i+1, err)
			}
		}
	}
	var err error
	r.Actions, err = parseActions(w.Actions, r)
	return r, err
}

// parseActions checks the actions of a rule that has the patterns of r. An
// action that the patterns do not limit is refused beside them: who writes
// "members:manage" into a rule for dev believes that it is limited to dev.
func parseActions(names []string, r Rule) ([]Action, error) {
	if len(names) == 0 {
		return nil, api.Errorf(api.ErrInvalid, "it allows no action: give at least one, such as %q", ReadSecret)
	}
	var actions []Action
	for i, name := range names {
		action := Action(name)
		switch {
		case len(name) > api.MaxName:
			return nil, api.Errorf(api.ErrInvalid, "action %d is unknown: give one such as %q", i+1, ReadSecret)
		case !onFolder(action) && !onProject(action):
			return nil, api.Errorf(api.ErrInvalid, "action %d is unknown: the nearest one is %q", i+1, nearest(name))
		case onProject(action) && len(r.Environments)+len(r.Paths)+len(r.Keys) > 0:
			return nil, api.Errorf(api.ErrInvalid, "%q is about the whole project and no pattern limits it: put it into a rule without patterns", action)
		case wholeFolder(action) && len(r.Keys) > 0:
			return nil, api.Errorf(api.ErrInvalid, "%q is about a folder with all its keys: put it into a rule without key patterns", action)
		case !slices.Contains(actions, action):
			actions = append(actions, action)
		}
	}
	return actions, nil
}

func wholeFolder(action Action) bool {
	return action == CreateFolder || action == EditFolder || action == DeleteFolder
}

func checkSlugPattern(pattern string) error {
	return checkPattern(pattern, api.MaxSlug, "a-z, 0-9, '-'", func(c byte) bool {
		return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-'
	})
}

func checkKeyPattern(pattern string) error {
	return checkPattern(pattern, api.MaxKey, "printable ASCII without space, '/', '\\' and ':',", func(c byte) bool {
		return c > ' ' && c <= '~' && c != '/' && c != '\\' && c != ':'
	})
}

func checkPathPattern(pattern string) error {
	err := checkPattern(pattern, MaxPathPattern, "letters, digits, '-', '_', '/'", func(c byte) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '/'
	})
	switch {
	case err != nil:
		return err
	case !strings.HasPrefix(pattern, "/") && !strings.HasPrefix(pattern, "**"):
		return api.Errorf(api.ErrInvalid, `matches no path: start it with "/", or give "/**" for all`)
	case strings.Contains(pattern, "//") || len(pattern) > 1 && strings.HasSuffix(pattern, "/"):
		return api.Errorf(api.ErrInvalid, `has an empty folder name: write "/a/b" for one folder, "/a/**" for it and all below`)
	}
	return nil
}

func checkPattern(pattern string, max int, allowed string, literal func(byte) bool) error {
	switch {
	case pattern == "":
		return api.Errorf(api.ErrInvalid, `is empty: give "*", or leave the list out for all`)
	case len(pattern) > max:
		return api.Errorf(api.ErrInvalid, "has %d bytes: give at most %d", len(pattern), max)
	case strings.Contains(pattern, "***"):
		return api.Errorf(api.ErrInvalid, `has more than two '*' in a row: "*" stays within one folder name, "**" does not`)
	}
	for i := range len(pattern) {
		if c := pattern[i]; c != '*' && !literal(c) {
			return api.Errorf(api.ErrInvalid, "has a character at byte %d that nothing it matches can have: give %s and '*'", i+1, allowed)
		}
	}
	return nil
}
