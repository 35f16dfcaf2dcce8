package inject

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// operation is one of a JSON patch (RFC 6902).
type operation struct {
	Op    string          `json:"op"`
	Path  string          `json:"path"`
	Value json.RawMessage `json:"value,omitempty"`
}

type operations []operation

func (o *operations) add(op, path string, value any) {
	*o = append(*o, operation{op, path, raw(value)})
}

// list brings a list from before to after. What is only added to the end is
// added there; anything else replaces the list, whose elements keep their
// bytes.
func (o *operations) list(path string, before, after []json.RawMessage) {
	switch {
	case slices.EqualFunc(before, after, same):
	case before == nil:
		o.add("add", path, after)
	case after == nil:
		*o = append(*o, operation{Op: "remove", Path: path})
	case len(before) <= len(after) && slices.EqualFunc(before, after[:len(before)], same):
		for _, element := range after[len(before):] {
			o.add("add", path+"/-", element)
		}
	default:
		o.add("replace", path, after)
	}
}

func same(a, b json.RawMessage) bool { return bytes.Equal(a, b) }

// listed are the fields of a container that injection changes. All are lists.
var listed = []string{"command", "env", "envFrom", "volumeMounts"}

// containers changes the fields of those that stay where they are. If any
// moves, comes in between or goes, the list is replaced.
func (o *operations) containers(path string, before, after []container) {
	if len(before) > len(after) || !slices.Equal(names(before), names(after[:len(before)])) {
		o.list(path, texts(before), texts(after))
		return
	}
	for i := range before {
		at := path + "/" + strconv.Itoa(i)
		switch {
		case same(before[i].raw, after[i].raw):
		case before[i].ours:
			o.add("replace", at, after[i].raw)
		default:
			o.fields(at, before[i].fields, after[i].fields)
		}
	}
	if before == nil {
		o.list(path, nil, texts(after))
		return
	}
	for _, c := range after[len(before):] {
		o.add("add", path+"/-", c.text())
	}
}

func (o *operations) fields(path string, before, after object) {
	for _, field := range listed {
		if same(before[field], after[field]) {
			continue
		}
		was, _ := elements(before[field], nil)
		is, _ := elements(after[field], nil)
		o.list(path+"/"+field, was, is)
	}
}

// annotations adds to those of the pod.
func (o *operations) annotations(had bool, before, wanted map[string]string) {
	if !had {
		o.add("add", "/metadata/annotations", wanted)
		return
	}
	for _, name := range sortedKeys(wanted) {
		if text, found := before[name]; !found || text != wanted[name] {
			o.add("add", "/metadata/annotations/"+escape(name), wanted[name])
		}
	}
}

// escape is for one element of a JSON pointer (RFC 6901).
func escape(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

func texts(list []container) (texts []json.RawMessage) {
	for _, c := range list {
		texts = append(texts, c.text())
	}
	return texts
}

// raw is for values that always can be written.
func raw(value any) json.RawMessage {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(value)
	return bytes.TrimSpace(out.Bytes())
}
