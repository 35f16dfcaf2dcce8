package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// operation is one of a JSON patch (RFC 6902). Those that move and copy are
// left out: no patch of ours has them.
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// apply changes the document as the patch says. After an error it may be
// changed in part.
func apply(document map[string]any, patch []byte) error {
	var operations []operation
	decoder := json.NewDecoder(bytes.NewReader(patch))
	decoder.UseNumber()
	if err := decoder.Decode(&operations); err != nil {
		return fmt.Errorf("read a JSON patch: %w", err)
	}
	for _, o := range operations {
		path := strings.Split(o.Path, "/")
		if len(path) < 2 || path[0] != "" {
			return fmt.Errorf("%s %q: the path must begin with '/'", o.Op, o.Path)
		}
		if _, err := o.on(document, path[1:]); err != nil {
			return fmt.Errorf("%s %s: %w", o.Op, o.Path, err)
		}
	}
	return nil
}

// on gives the node with the operation done below it.
func (o operation) on(node any, path []string) (any, error) {
	name := strings.NewReplacer("~1", "/", "~0", "~").Replace(path[0])
	switch node := node.(type) {
	case map[string]any:
		return node, o.onObject(node, name, path[1:])
	case []any:
		return o.onList(node, name, path[1:])
	}
	return nil, fmt.Errorf("%q is in no object and no list", name)
}

func (o operation) onObject(object map[string]any, name string, rest []string) (err error) {
	member, found := object[name]
	switch {
	case !found && (o.Op != "add" || len(rest) > 0):
		return fmt.Errorf("there is no %q", name)
	case len(rest) > 0:
		object[name], err = o.on(member, rest)
	case o.Op == "remove":
		delete(object, name)
	default:
		object[name], err = o.value(member)
	}
	return err
}

func (o operation) onList(list []any, name string, rest []string) ([]any, error) {
	adds := o.Op == "add" && len(rest) == 0
	if adds && name == "-" {
		return append(list, o.Value), nil
	}
	at, err := strconv.Atoi(name)
	if err != nil || name != strconv.Itoa(at) || at < 0 || at > len(list) || at == len(list) && !adds {
		return nil, fmt.Errorf("there is no element %q", name)
	}
	switch {
	case adds:
		list = slices.Insert(list, at, o.Value)
	case len(rest) > 0:
		list[at], err = o.on(list[at], rest)
	case o.Op == "remove":
		list = slices.Delete(list, at, at+1)
	default:
		list[at], err = o.value(list[at])
	}
	return list, err
}

// value is what stands at the end of the path after the operation.
func (o operation) value(before any) (any, error) {
	switch {
	case o.Op == "add" || o.Op == "replace":
		return o.Value, nil
	case o.Op != "test":
		return nil, fmt.Errorf("there is no operation %q", o.Op)
	case !reflect.DeepEqual(before, o.Value):
		return nil, fmt.Errorf("the value is another")
	}
	return before, nil
}
