package policy

import "slices"

// Covers reports whether a holds every right that other carries, so that its
// subject may give, extend or point at what other is; if not, it names the
// first action that is missing. envs are all environments of the project.
//
// It is decided per environment, with the ceilings of both sides: a person
// under the ceiling of a restricted environment does not cover a machine's
// right there. It is decided too for the environments that other's rules name
// and that are not there yet, or a grant on "*" would outgrow its giver with
// the next environment.
//
// Patterns are compared as they are written, and one rule of a must contain
// each path and key pattern of a rule of other: it may refuse what the union
// of several rules would cover, and never accepts what a does not hold. Only
// an admin covers an admin, who also holds every action of later releases.
func (a Access) Covers(other Access, envs []Environment) (missing Action, covered bool) {
	if a.Admin || !other.Admin && !other.Member {
		return "", true
	}
	admin := other.Admin
	if admin {
		everything := append(FolderActions(), ProjectActions()...)
		other = Access{Member: true, Rules: []Rule{{Actions: everything}}}
	}
	envs = slices.Concat(envs, other.imagined(envs))
	for _, action := range FolderActions() {
		for _, env := range envs {
			if !a.coversIn(env, action, other) {
				return action, false
			}
		}
	}
	for _, action := range ProjectActions() {
		if other.AllowsProject(action) && !a.AllowsProject(action) {
			return action, false
		}
	}
	if admin {
		return DeleteProject, false
	}
	return "", true
}

// coversIn reports whether a holds in env all that other holds by action.
func (a Access) coversIn(env Environment, action Action, other Access) bool {
	return !other.some(action, env, func(theirs *Rule) bool {
		for _, path := range orAll(theirs.Paths) {
			for _, key := range orAll(theirs.Keys) {
				if !a.contains(env, action, path, key) {
					return true
				}
			}
		}
		return false
	})
}

// contains reports whether one rule of a allows action in env on all that the
// patterns path and key match.
func (a Access) contains(env Environment, action Action, path, key string) bool {
	return a.some(action, env, func(mine *Rule) bool {
		inPaths := slices.ContainsFunc(orAll(mine.Paths), func(p string) bool { return containsPath(p, path) })
		return inPaths && (action == ReadFolder || matchesAny(mine.Keys, key))
	})
}

// imagined are environments that the rules of a reach although they are not
// among envs, one for each pattern: its slug is the pattern, as an outline, so
// that only those rules reach it that reach all of them. New ones are open.
func (a Access) imagined(envs []Environment) []Environment {
	var more []Environment
	for _, r := range slices.Concat(a.Rules, a.Custom) {
		for _, pattern := range orAll(r.Environments) {
			named := func(env Environment) bool { return slices.Contains(env.Slugs, pattern) }
			if !slices.ContainsFunc(envs, named) && !slices.ContainsFunc(more, named) {
				more = append(more, Environment{Slugs: []string{pattern}})
			}
		}
	}
	return more
}

// orAll gives an empty list of patterns its meaning.
func orAll(patterns []string) []string {
	if len(patterns) == 0 {
		return []string{"**"}
	}
	return patterns
}
