package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Name is the name in the set of a key that the source reads.
func (s Source) Name(key string) string {
	if name, renamed := s.Rename[key]; renamed {
		return name
	}
	return s.Prefix + key
}

func (p *problems) sources(sources []Source) {
	var names []named
	for i, s := range sources {
		path := fmt.Sprintf("sources[%d]", i)
		p.source(path, s)
		if other := slices.IndexFunc(sources[:i], s.overlaps); other >= 0 {
			p.must(false, path, fmt.Sprintf("reads what sources[%d] reads too: name each key in one of them only", other))
		}
		names = append(names, s.names(path)...)
	}
	p.once(names, "has the same name in the set as %s: rename one of them, or give one source a prefix")
}

func (p *problems) source(path string, s Source) {
	p.must(s.Project != "", path+".project", "is missing: give the project's slug or id")
	p.must(s.Environment != "", path+".environment", "is missing: give the environment's slug")
	p.must(isPath(s.Path), path+".path", "must be a folder such as /a/b, of letters, digits, '-' and '_'")
	p.must(!s.Recursive || s.Keys == nil, path+".recursive", "cannot go with keys: each of them is read from the one folder")
	p.keys(path+".keys", s.Keys)
	p.rename(path, s)
	p.must(isKey(s.Prefix+"K"), path+".prefix", "must be the beginning of a key, which is "+keyForm)
	for _, n := range s.names(path) {
		p.must(isKey(n.name) || p.reported(path+".prefix"), n.path, nameForm)
	}
}

const nameForm = "the name in the set must be like a key: " + keyForm

func (p *problems) rename(path string, s Source) {
	for _, key := range slices.Sorted(maps.Keys(s.Rename)) {
		place := join(path+".rename", key)
		p.must(isKey(key), place, "the name before must be a key: "+keyForm)
		p.must(s.Keys == nil || slices.Contains(s.Keys, key), place, "is not one of the keys that this source reads")
		p.must(isKey(s.Rename[key]), place, nameForm)
	}
}

// overlaps reports whether two sources read the same key of the same folder.
func (s Source) overlaps(other Source) bool {
	same := s.Project == other.Project && s.Environment == other.Environment && strings.Trim(s.Path, "/") == strings.Trim(other.Path, "/")
	return same && overlap(s.Keys, other.Keys)
}

// overlap takes a list that is not there for one of all keys.
func overlap(a, b []string) bool {
	return a == nil || b == nil || slices.ContainsFunc(a, func(key string) bool { return slices.Contains(b, key) })
}

// names are the names in the set that are known before the keys are read.
func (s Source) names(path string) (list []named) {
	for i, key := range s.Keys {
		if _, renamed := s.Rename[key]; !renamed {
			list = append(list, named{fmt.Sprintf("%s.keys[%d]", path, i), s.Name(key)})
		}
	}
	for _, key := range slices.Sorted(maps.Keys(s.Rename)) {
		list = append(list, named{join(path+".rename", key), s.Rename[key]})
	}
	return list
}
