package workload

import (
	"bytes"
	"cmp"
	"encoding/json"
	"strings"
)

// Object is one of Kubernetes, or a part of one. What it does not have, or has
// in another form, reads as nothing.
type Object map[string]any

// Read reads one from JSON, with numbers as they were written.
func Read(text []byte) (o Object, err error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	err = decoder.Decode(&o)
	return o, err
}

// Kind is with the group and without the version: another group's Job is
// something else.
func (o Object) Kind() string {
	group, _, versioned := strings.Cut(o.Text("apiVersion"), "/")
	if !versioned {
		group = ""
	}
	return group + "/" + o.Text("kind")
}

// Name is for people.
func (o Object) Name() string {
	return o.Text("kind") + "/" + cmp.Or(o.Text("metadata", "name"), o.Text("metadata", "generateName"), "?")
}

// At is the part at the end of the path.
func (o Object) At(path ...string) (part Object, found bool) {
	for _, name := range path {
		if o, found = o[name].(map[string]any); !found {
			return nil, false
		}
	}
	return o, true
}

// Text is "" for what is no text.
func (o Object) Text(path ...string) string {
	last := len(path) - 1
	part, _ := o.At(path[:last]...)
	text, _ := part[path[last]].(string)
	return text
}

// Texts are the members of a part that are texts.
func (o Object) Texts(path ...string) map[string]string {
	part, _ := o.At(path...)
	texts := map[string]string{}
	for name, value := range part {
		if text, is := value.(string); is {
			texts[name] = text
		}
	}
	return texts
}
