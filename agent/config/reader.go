package config

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
)

// reader decodes JSON that is known to be well-formed. Unlike encoding/json it
// goes on after a problem, names the place, takes names exactly as they are
// written, and refuses unknown and repeated ones: a misspelt option must not
// silently become its default.
type reader struct {
	problems
	dec *json.Decoder
}

// value reads the next value into v.
func (r *reader) value(path string, v reflect.Value) {
	token, _ := r.dec.Token()
	if v.Kind() == reflect.Pointer {
		if token == nil {
			return // null is the default
		}
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	switch token := token.(type) {
	case json.Delim:
		r.composite(path, token, v)
	case string:
		if v.Kind() != reflect.String {
			r.add(path, "must be %s, not a string", article(v))
			return
		}
		v.SetString(token)
	case bool:
		if v.Kind() != reflect.Bool {
			r.add(path, "must be %s, not true or false", article(v))
			return
		}
		v.SetBool(token)
	case json.Number:
		r.number(path, token, v)
	default:
		r.add(path, "must be %s, not null", article(v))
	}
}

func (r *reader) number(path string, token json.Number, v reflect.Value) {
	n, err := strconv.ParseInt(string(token), 10, 64)
	switch {
	case v.Kind() != reflect.Int:
		r.add(path, "must be %s, not a number", article(v))
	case err != nil || n > math.MaxInt32 || n < math.MinInt32:
		r.add(path, "must be a whole number")
	default:
		v.SetInt(n)
	}
}

func (r *reader) composite(path string, open json.Delim, v reflect.Value) {
	switch {
	case open == '{' && v.Kind() == reflect.Struct:
		r.object(path, v)
	case open == '{' && v.Kind() == reflect.Map:
		r.mapping(path, v)
	case open == '[' && v.Kind() == reflect.Slice:
		r.slice(path, v)
	default:
		what := map[json.Delim]string{'{': "an object", '[': "a list"}[open]
		r.add(path, "must be %s, not %s", article(v), what)
		r.leave()
	}
}

// skip passes over a value.
func (r *reader) skip() {
	if token, _ := r.dec.Token(); token == json.Delim('{') || token == json.Delim('[') {
		r.leave()
	}
}

// leave passes over the rest of the object or list that was entered.
func (r *reader) leave() {
	for depth := 1; depth > 0; {
		switch token, err := r.dec.Token(); {
		case err != nil:
			return
		case token == json.Delim('{') || token == json.Delim('['):
			depth++
		case token == json.Delim('}') || token == json.Delim(']'):
			depth--
		}
	}
}

func (r *reader) object(path string, v reflect.Value) {
	seen := map[string]bool{}
	for r.dec.More() {
		name := r.name()
		full := join(path, name)
		field, known := fieldOf(v, name)
		switch {
		case !known:
			r.unknown(full, name, v.Type())
			r.skip()
		case seen[name]:
			r.add(full, "is given twice")
			r.skip()
		default:
			r.value(full, field)
		}
		seen[name] = true
	}
	r.dec.Token()
}

// mapping reads an object whose names are the user's own.
func (r *reader) mapping(path string, v reflect.Value) {
	v.Set(reflect.MakeMap(v.Type()))
	for r.dec.More() {
		name := r.name()
		full := join(path, name)
		if v.MapIndex(reflect.ValueOf(name)).IsValid() {
			r.add(full, "is given twice")
			r.skip()
			continue
		}
		value := reflect.New(v.Type().Elem()).Elem()
		r.value(full, value)
		v.SetMapIndex(reflect.ValueOf(name), value)
	}
	r.dec.Token()
	r.must(v.Len() > 0, path, empty)
}

func (r *reader) slice(path string, v reflect.Value) {
	for i := 0; r.dec.More(); i++ {
		v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
		r.value(fmt.Sprintf("%s[%d]", path, i), v.Index(i))
	}
	r.dec.Token()
	r.must(v.Len() > 0, path, empty)
}

// Without a list of keys all keys are meant: somebody who made a list and
// found nothing to put in would get the opposite of it.
const empty = "is empty: put something in, or leave it out"

func (r *reader) name() string {
	token, _ := r.dec.Token()
	name, _ := token.(string)
	return name
}

func fieldOf(v reflect.Value, name string) (field reflect.Value, known bool) {
	for i := range v.NumField() {
		if fieldName(v.Type().Field(i)) == name {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

func fieldName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

func (r *reader) unknown(path, name string, t reflect.Type) {
	names := make([]string, t.NumField())
	for i := range names {
		names[i] = fieldName(t.Field(i))
	}
	if near := nearest(name, names); near != "" {
		r.add(path, "there is no such field: did you mean %q?", near)
		return
	}
	r.add(path, "there is no such field: there are %s", strings.Join(names, ", "))
}

// join is the place of a member. A name that is not a plain word, or that is
// very long, is the user's slip: it is quoted and cut.
func join(path, name string) string {
	if name == "" || len(name) > 40 || strings.Trim(name, letters+digits+"-_") != "" {
		name = fmt.Sprintf("%.40q", name)
	}
	return strings.TrimPrefix(path+"."+name, ".")
}

// article names what v takes.
func article(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Slice:
		return "a list"
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "a whole number"
	}
	return "a string"
}
