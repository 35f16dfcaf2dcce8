package config_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hanzoai/kms/agent/config"
)

func TestTheExampleIsTaken(t *testing.T) {
	c := mustParse(t, string(config.Example()))
	if len(c.Sources) < 2 || len(c.Outputs) < 2 || len(c.Notify) < 2 {
		t.Errorf("the example shows little: %+v", c)
	}
}

// schema is as much of a JSON Schema as ours uses.
type schema struct {
	Type        any               `json:"type"`
	Ref         string            `json:"$ref"`
	Description string            `json:"description"`
	Const       any               `json:"const"`
	Default     string            `json:"default"`
	Enum        []string          `json:"enum"`
	Required    []string          `json:"required"`
	Items       *schema           `json:"items"`
	Additional  any               `json:"additionalProperties"`
	Properties  map[string]schema `json:"properties"`
	Definitions map[string]schema `json:"$defs"`
}

func TestTheSchemaHasEveryFieldAndNoOther(t *testing.T) {
	var root schema
	if err := json.Unmarshal(config.Schema(), &root); err != nil {
		t.Fatal(err)
	}
	checkStruct(t, root, root, reflect.TypeFor[config.Config]())
	if len(root.Definitions) != 7 {
		t.Errorf("got %d definitions, want one for each struct", len(root.Definitions))
	}
}

func checkStruct(t *testing.T, root, s schema, typ reflect.Type) {
	t.Helper()
	if s.Type != "object" || s.Additional != false || s.Description == "" || len(s.Properties) != typ.NumField() {
		t.Errorf("%v is not an object of its %d fields: %+v", typ, typ.NumField(), s)
	}
	var required []string
	for i := range typ.NumField() {
		f := typ.Field(i)
		name, omit, _ := strings.Cut(f.Tag.Get("json"), ",")
		if omit == "" {
			required = append(required, name)
		}
		checkField(t, root, s.Properties[name], f)
	}
	if diff := cmp.Diff(required, s.Required); diff != "" {
		t.Errorf("%v: required: %s", typ, diff)
	}
}

func checkField(t *testing.T, root, s schema, f reflect.StructField) {
	t.Helper()
	if s.Description == "" || s.Default != f.Tag.Get("default") || strings.Join(s.Enum, ",") != f.Tag.Get("enum") {
		t.Errorf("%s: got %+v, want %q and a description", f.Name, s, f.Tag)
	}
	typ := f.Type
	if typ.Kind() == reflect.Slice {
		s, typ = *s.Items, typ.Elem()
	}
	want := map[reflect.Kind]any{reflect.String: "string", reflect.Bool: "boolean", reflect.Map: "object", reflect.Slice: "array"}[typ.Kind()]
	switch {
	case typ.Kind() == reflect.Struct:
		checkStruct(t, root, root.Definitions[strings.TrimPrefix(s.Ref, "#/$defs/")], typ)
	case f.Name == "Version":
		if s.Const != float64(config.Version) {
			t.Errorf("the version is %v", s.Const)
		}
	case typ.Kind() == reflect.Pointer:
		if kinds, _ := s.Type.([]any); len(kinds) != 2 || kinds[1] != "null" {
			t.Errorf("%s: null is the same as leaving it out, but the schema has %v", f.Name, s.Type)
		}
	case s.Type != want:
		t.Errorf("%s: got type %v, want %v", f.Name, s.Type, want)
	}
}
