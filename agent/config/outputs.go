package config

import (
	"fmt"
	"slices"
)

func (p *problems) outputs(c Config) {
	var files []named
	for i, o := range c.Outputs {
		path := fmt.Sprintf("outputs[%d]", i)
		p.output(path, o)
		if other := slices.IndexFunc(c.Outputs[:i], o.overlaps); other >= 0 {
			p.must(false, path, fmt.Sprintf("writes files that outputs[%d] writes too: name the keys of both", other))
		}
		files = append(files, o.files(path)...)
	}
	for _, f := range files {
		p.must(IsFileName(f.name), f.path, fileName)
		p.must(!c.Previous || f.name != "previous", f.path, "is the folder of the generation before: give another name, or leave out previous")
	}
	p.once(files, "is the same file as %s")
}

func (p *problems) output(path string, o Output) {
	p.keys(path+".keys", o.Keys)
	p.permission(path, o.Mode, o.GID)
	if p.reported(path + ".format") {
		return // what goes with it is not known
	}
	single, template := o.Format != "files", o.Format == "template"
	p.must(!single || o.File != "", path+".file", "is missing: give the name of the file")
	p.must(single || o.File == "", path+".file", `cannot go with the format "files": each file has the name of its key`)
	p.base64(path, o)
	p.template(path, o)
	p.must(template || o.Template == "", path+".template", onlyTemplate)
	p.must(template || o.TemplateFile == "", path+".templateFile", onlyTemplate)
	p.must(template || o.Delimiters == nil, path+".delimiters", onlyTemplate)
}

const onlyTemplate = `goes with the format "template" only`

func (p *problems) base64(path string, o Output) {
	p.must(o.Format == "files" || o.Base64 == nil, path+".base64", `goes with the format "files" only`)
	p.keys(path+".base64", o.Base64)
	for i, key := range o.Base64 {
		p.must(o.Keys == nil || slices.Contains(o.Keys, key), fmt.Sprintf("%s.base64[%d]", path, i), "is not one of the keys of this output")
	}
}

func (p *problems) template(path string, o Output) {
	p.must(o.Format != "template" || o.Template != "" || o.TemplateFile != "", path+".template", "is missing: give it, or templateFile")
	p.must(o.Template == "" || o.TemplateFile == "", path+".templateFile", "cannot go with template: give one of the two")
	p.absolute(path+".templateFile", o.TemplateFile)
	d := o.Delimiters
	p.must(d == nil || len(d) == 2 && d[0] != "" && d[1] != "" && d[0] != d[1], path+".delimiters", `must be two different marks, such as ["[[", "]]"]`)
}

// overlaps reports whether both write a file per key, and one of them for all
// keys.
func (o Output) overlaps(other Output) bool {
	return o.Format == "files" && other.Format == "files" && (o.Keys == nil || other.Keys == nil)
}

// files are the names of files that are known before the keys are read.
func (o Output) files(path string) (list []named) {
	if o.File != "" {
		list = append(list, named{path + ".file", o.File})
	}
	for i, key := range o.Keys {
		if o.Format == "files" {
			list = append(list, named{fmt.Sprintf("%s.keys[%d]", path, i), key})
		}
	}
	return list
}
