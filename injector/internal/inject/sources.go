package inject

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hanzoai/kms/agent/config"
)

// sources are the folders of "path", and those that outputs name themselves.
func (p *plan) sources() []config.Source {
	var list []config.Source
	items := p.items()
	if p.said("path") || p.said("keys") || p.said("recursive") || !slices.ContainsFunc(items, item.hasFolder) {
		list = p.mainSources()
	}
	mains := len(list)
	for _, it := range items {
		list = p.addItem(list, mains, it)
	}
	return list
}

func (p *plan) mainSources() (list []config.Source) {
	folders := p.list("path")
	if len(folders) > 1 && p.said("keys") {
		p.refuse("keys", "cannot go with several folders: write secret-NAME: /folder/KEY,/other/KEY")
	}
	for i, folder := range folders {
		list = append(list, p.source(folder))
		list[i].Recursive, list[i].Keys = p.flag("recursive"), p.list("keys")
		place := fmt.Sprintf("sources[%d]", i)
		p.places[place], p.places[place+".path"] = p.label("path"), p.label("path")
		p.places[place+".keys"], p.places[place+".recursive"] = p.label("keys"), p.label("recursive")
		p.places[place+".project"], p.places[place+".environment"] = p.label("project"), p.label("env")
	}
	return list
}

func (p *plan) source(folder string) config.Source {
	s := config.Source{Project: p.text1("project"), Environment: p.text1("env")}
	if folder != "/" {
		s.Path = folder
	}
	return s
}

// item is one element of a "secret-" annotation: [NAME=][/folder/]KEY.
type item struct {
	annotation, folder, key, name string
}

func (i item) hasFolder() bool { return i.folder != "" }

// items are the elements of all outputs, in the order of their names.
func (p *plan) items() (list []item) {
	for _, name := range slices.Sorted(maps.Keys(p.given)) {
		if row, _, _ := find(name); row.Name == "secret-" && p.said(name) {
			list = append(list, parseItems(name, p.list(name))...)
		}
	}
	return list
}

func parseItems(annotation string, elements []string) (list []item) {
	for _, element := range elements {
		it := item{annotation: annotation, key: element}
		if name, rest, renamed := strings.Cut(element, "="); renamed {
			it.name, it.key = strings.TrimSpace(name), strings.TrimSpace(rest)
		}
		if at := strings.LastIndexByte(it.key, '/'); at >= 0 {
			it.folder, it.key = clean(it.key[:at]), it.key[at+1:]
		}
		if it.name == "" {
			it.name = it.key
		}
		list = append(list, it)
	}
	return list
}

// clean is the one form of a folder.
func clean(folder string) string { return "/" + strings.Trim(folder, "/") }

// addItem sees to it that one of the sources reads the key, under its name.
func (p *plan) addItem(list []config.Source, mains int, it item) []config.Source {
	if it.folder == "" {
		if it.name != it.key && mains != 1 {
			p.refuse(it.annotation, "which of several folders has %s: write %s=/folder/%s", it.key, it.name, it.key)
		} else if mains == 1 && it.name != it.key {
			p.renameKey(&list[0], it)
		}
		return list
	}
	at := slices.IndexFunc(list, func(s config.Source) bool { return clean(s.Path) == it.folder })
	switch {
	case at < 0 && it.name == it.key && slices.ContainsFunc(list[:mains], it.isBelow):
		return list
	case at < 0:
		at = len(list)
		list = append(list, p.source(it.folder))
		place := fmt.Sprintf("sources[%d]", at)
		p.places[place] = p.label(it.annotation)
		p.places[place+".project"], p.places[place+".environment"] = p.label("project"), p.label("env")
		list[at].Keys = []string{it.key}
	case list[at].Keys != nil && !slices.Contains(list[at].Keys, it.key):
		list[at].Keys = append(list[at].Keys, it.key)
	}
	p.renameKey(&list[at], it)
	return list
}

// isBelow reports whether the source reads the folder with those below it.
func (i item) isBelow(s config.Source) bool {
	return s.Recursive && strings.HasPrefix(i.folder+"/", strings.TrimSuffix(clean(s.Path), "/")+"/")
}

func (p *plan) renameKey(s *config.Source, it item) {
	before, renamed := s.Rename[it.key]
	if renamed && before != it.name {
		p.refuse(it.annotation, "%s has two names: %s and %s", it.key, before, it.name)
	}
	if it.name == it.key {
		return
	}
	if s.Rename == nil {
		s.Rename = map[string]string{}
	}
	s.Rename[it.key] = it.name
}

// checkKeys is about keys that go into an output and that no source reads.
func (p *plan) checkKeys() {
	var read []string
	if len(p.problems) > 0 {
		return // it may be one that makes them be missed
	}
	for _, s := range p.config.Sources {
		if s.Keys == nil {
			return // what is there is not known before the agent asks
		}
		for _, key := range s.Keys {
			read = append(read, s.Name(key))
		}
	}
	for i, o := range p.config.Outputs {
		for _, key := range o.Keys {
			if !slices.Contains(read, key) {
				label := p.places[fmt.Sprintf("outputs[%d].keys", i)]
				p.report(label, fmt.Sprintf("%s: no folder is read for %s: write /folder/%s, or add it to %skeys", label, key, key, Prefix))
			}
		}
	}
}
