package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// complete puts the defaults into v and checks its choices, both as the tags
// of its fields name them.
func (p *problems) complete(path string, v reflect.Value) {
	switch v.Kind() {
	case reflect.Slice:
		for i := range v.Len() {
			p.complete(fmt.Sprintf("%s[%d]", path, i), v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			full := join(path, fieldName(f))
			setDefault(v, v.Field(i), f.Tag)
			p.choice(full, v.Field(i), f.Tag.Get("enum"))
			p.complete(full, v.Field(i))
		}
	}
}

func setDefault(parent, field reflect.Value, tag reflect.StructTag) {
	if value, found := tag.Lookup("default"); found && field.IsZero() && applies(parent, tag) {
		field.SetString(value)
	}
}

// applies is false for a field that goes with others of which none is given.
// It stays empty then, and so it still shows whether the user gave it.
func applies(parent reflect.Value, tag reflect.StructTag) bool {
	others, limited := tag.Lookup("with")
	return !limited || slices.ContainsFunc(strings.Split(others, ","), func(name string) bool {
		other, known := fieldOf(parent, name)
		return known && !other.IsZero()
	})
}

func (p *problems) choice(path string, field reflect.Value, enum string) {
	choices := strings.Split(enum, ",")
	if enum == "" || field.IsZero() || slices.Contains(choices, field.String()) {
		return
	}
	want := "must be one of " + strings.Join(choices, ", ")
	if near := nearest(field.String(), choices); near != "" {
		want += fmt.Sprintf(": did you mean %q?", near)
	}
	p.must(false, path, want)
}
