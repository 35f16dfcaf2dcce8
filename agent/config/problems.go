package config

import (
	"fmt"
	"strings"
)

// Error is all that is wrong with a configuration. It repeats no value of it.
type Error struct{ Problems []string }

func (e *Error) Error() string {
	if len(e.Problems) == 1 {
		return "configuration: " + e.Problems[0]
	}
	return fmt.Sprintf("configuration: %d problems:\n  %s", len(e.Problems), strings.Join(e.Problems, "\n  "))
}

// problems collects what is wrong, each with its place, such as
// "sources[0].keys[2]".
type problems struct {
	list  []string
	wrong map[string]bool // the places
}

func (p *problems) add(path, format string, args ...any) {
	if p.wrong == nil {
		p.wrong = map[string]bool{}
	}
	p.wrong[path] = true
	if path == "" {
		path = "the whole"
	}
	p.list = append(p.list, path+": "+fmt.Sprintf(format, args...))
}

// must adds a problem unless the field is good, or something is wrong with it
// already: of a field without a form, the value is not worth a word.
func (p *problems) must(good bool, path, want string) {
	if !good && !p.reported(path) {
		p.add(path, "%s", want)
	}
}

// reported says whether something is wrong with a field, or with what it is a
// part of.
func (p *problems) reported(path string) bool {
	for path != "" && !p.wrong[path] {
		path = path[:max(strings.LastIndexAny(path, ".["), 0)]
	}
	return p.wrong[path]
}

// named is a name, and the place in the configuration that it comes from.
type named struct{ path, name string }

// once adds a problem for each name that was there before; want says what is
// wrong, with the place of the first for its %s.
func (p *problems) once(list []named, want string) {
	first := map[string]string{}
	for _, n := range list {
		if place, twice := first[n.name]; twice {
			p.must(false, n.path, fmt.Sprintf(want, place))
			continue
		}
		first[n.name] = n.path
	}
}
