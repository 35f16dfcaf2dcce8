package inject

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/hanzoai/kms/agent/config"
)

// outputs are those that annotations name, without any of them one file per
// key, and the file that wrapped commands read.
func (p *plan) outputs() (list []config.Output) {
	for _, name := range p.outputNames() {
		place := fmt.Sprintf("outputs[%d]", len(list))
		list = append(list, p.output(name, place))
	}
	if p.shape.installer {
		if len(list) == 0 {
			list = append(list, config.Output{})
		}
		place := fmt.Sprintf("outputs[%d]", len(list))
		p.places[place+".keys"] = p.label("env-keys")
		list = append(list, config.Output{Format: "json", File: envFile, Keys: p.list("env-keys")})
	}
	return list
}

// outputNames are the names that follow "secret-", "format-" and so on.
func (p *plan) outputNames() []string {
	found := map[string]bool{}
	for name := range p.given {
		if _, output, _ := find(name); output != "" && p.said(name) {
			found[output] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

func (p *plan) output(name, place string) (o config.Output) {
	p.placeOutput(name, place, &o)
	for _, it := range parseItems("secret-"+name, p.list("secret-"+name)) {
		o.Keys = append(o.Keys, it.name)
	}
	if p.said("template-ref-" + name) {
		o.TemplateFile = templatesPath + "/" + name
	}
	if o.Format == "" && (o.Template != "" || o.TemplateFile != "") {
		o.Format = "template"
	}
	if o.Format != "" && o.Format != "files" {
		o.File = cmp.Or(o.File, name)
	}
	if o.Mode != "" {
		p.checkMode("mode-"+name, o.Mode)
	}
	return o
}

// placeOutput takes over each value that has a place of its own. What is wrong
// with the output as a whole is said about its first annotation.
func (p *plan) placeOutput(name, place string, o *config.Output) {
	for _, row := range outputs {
		full := row.Name + name
		if row.out != nil && p.said(full) {
			row.out(o, p.text1(full))
		}
		if p.said(full) && p.places[place] == "" {
			p.places[place] = p.label(full)
		}
		p.places[place+"."+cmp.Or(row.place, "keys")] = p.label(full)
	}
	p.places[place+".templateFile"] = p.label("template-ref-" + name)
	p.places[place+".keys"] = p.label("secret-" + name)
}
