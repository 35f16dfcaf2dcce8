package main

import (
	"bytes"
	"encoding/json"
	"reflect"

	"github.com/hanzoai/kms/agent/config"
)

// object is a JSON object whose members keep their order.
type object []member

type member struct {
	name  string
	value any
}

func (o object) MarshalJSON() ([]byte, error) {
	var out bytes.Buffer
	out.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			out.WriteByte(',')
		}
		if err := encode(&out, m.name); err != nil {
			return nil, err
		}
		out.WriteByte(':')
		if err := encode(&out, m.value); err != nil {
			return nil, err
		}
	}
	out.WriteByte('}')
	return out.Bytes(), nil
}

func encode(out *bytes.Buffer, value any) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

func schemaOf(structs []structure) ([]byte, error) {
	schema := object{
		{"$schema", "https://json-schema.org/draft/2020-12/schema"},
		{"title", "The configuration of kms-agent"},
	}
	schema = append(schema, structSchema(structs[0])...)
	var definitions object
	for _, s := range structs[1:] {
		definitions = append(definitions, member{s.name, structSchema(s)})
	}
	schema = append(schema, member{"$defs", definitions})
	var compact, out bytes.Buffer
	if err := encode(&compact, schema); err != nil {
		return nil, err
	}
	if err := json.Indent(&out, compact.Bytes(), "", "  "); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func structSchema(s structure) object {
	properties, required := object{}, []string{}
	for _, f := range s.fields {
		described := object{{"description", prose(f.doc, f.goName, s.fields, plain)}}
		properties = append(properties, member{f.name, append(described, fieldSchema(f)...)})
		if f.required {
			required = append(required, f.name)
		}
	}
	schema := object{
		{"description", prose(s.doc, s.name, s.fields, plain)},
		{"type", "object"},
		{"additionalProperties", false},
	}
	if len(required) > 0 {
		schema = append(schema, member{"required", required})
	}
	return append(schema, member{"properties", properties})
}

func fieldSchema(f field) object {
	schema := typeSchema(f.kind)
	switch {
	case f.name == "version":
		schema = object{{"const", config.Version}}
	case f.optional:
		schema = object{{"type", []any{schema[0].value, "null"}}}
	}
	if f.choices != nil {
		schema = append(schema, member{"enum", f.choices})
	}
	if f.standard != "" {
		schema = append(schema, member{"default", f.standard})
	}
	return schema
}

func typeSchema(t reflect.Type) object {
	switch t.Kind() {
	case reflect.Struct:
		return object{{"$ref", "#/$defs/" + t.Name()}}
	case reflect.Slice:
		return object{{"type", "array"}, {"items", typeSchema(t.Elem())}, {"minItems", 1}}
	case reflect.Map:
		return object{{"type", "object"}, {"additionalProperties", typeSchema(t.Elem())}, {"minProperties", 1}}
	case reflect.Bool:
		return object{{"type", "boolean"}}
	case reflect.Int:
		return object{{"type", "integer"}}
	}
	return object{{"type", "string"}}
}
