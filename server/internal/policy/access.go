package policy

// Environment is what policy knows of an environment.
type Environment struct {
	Slugs      []string // all that name it: the canonical slug and its aliases
	Restricted bool     // its access level is a ceiling on people
}

// Target is what a secret or folder action is about. Path is the folder, in
// the form of api.ParsePath; for CreateFolder it is the folder to be made.
//
// An empty Key stands for the folder as a whole. A secret action is then
// allowed only by a rule for all keys, as it must be for moving or importing a
// folder; whether there is anything to list in a folder is asked with AnyIn.
type Target struct {
	Environment Environment
	Path, Key   string
}

// Access is what one subject holds in one project at one moment: the sum of
// his roles that are live. The zero Access holds nothing.
type Access struct {
	Person bool   // access levels are a ceiling on people only
	Admin  bool   // of the project or its organisation: everything in the project
	Member bool   // has any membership; without it (and not Admin) all is refused
	Rules  []Rule // of built-in roles
	Custom []Rule // of custom roles: one that names a restricted environment counts there
}

// Allows reports whether the subject may do a secret or folder action on t. It
// does not allocate. Other actions are refused.
func (a Access) Allows(action Action, t Target) bool {
	return a.some(action, t.Environment, func(r *Rule) bool {
		return r.matchesPath(t.Path) && (action == ReadFolder || matchesAny(r.Keys, t.Key))
	})
}

// AllowsProject reports whether the subject may do an action on the project as
// a whole. Other actions are refused.
func (a Access) AllowsProject(action Action) bool {
	switch {
	case !onProject(action):
		return false
	case a.Admin:
		return true
	case !a.Member:
		return false
	case action == ReadProject && len(a.Rules)+len(a.Custom) > 0:
		return true
	}
	return carriedBy(a.Rules, action) || carriedBy(a.Custom, action)
}

// Any reports whether the subject may do a secret or folder action on anything
// in env, existing or not. It is for deciding what to show of an environment.
func (a Access) Any(action Action, env Environment) bool {
	return a.some(action, env, func(*Rule) bool { return true })
}

// AnyIn reports whether the subject may do a secret or folder action on the
// folder at path or on some key in it, existing or not. It is the question in
// front of a list, whose entries are then each asked with Allows.
func (a Access) AnyIn(action Action, env Environment, path string) bool {
	return a.some(action, env, func(r *Rule) bool { return r.matchesPath(path) })
}

// some reports whether the subject may do action in env by a rule that fits.
// The ceiling of restricted environments is decided here and nowhere else.
func (a Access) some(action Action, env Environment, fits func(*Rule) bool) bool {
	if !onFolder(action) {
		return false
	}
	if a.Admin || !a.Member {
		return a.Admin
	}
	ceiling := a.Person && env.Restricted
	if !ceiling {
		for i := range a.Rules {
			if r := &a.Rules[i]; r.carries(action) && r.reaches(env, false) && fits(r) {
				return true
			}
		}
	}
	for i := range a.Custom {
		if r := &a.Custom[i]; r.carries(action) && r.reaches(env, ceiling) && fits(r) {
			return true
		}
	}
	return false
}

func carriedBy(rules []Rule, action Action) bool {
	for i := range rules {
		if rules[i].carries(action) {
			return true
		}
	}
	return false
}
