package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

const maxSize = 1 << 20 // bytes; an environment variable holds less

// Error is all that is wrong with a configuration. It repeats no value of it.
type Error struct{ Problems []string }

func (e *Error) Error() string {
	if len(e.Problems) == 1 {
		return "configuration: " + e.Problems[0]
	}
	return fmt.Sprintf("configuration: %d problems:\n  %s", len(e.Problems), strings.Join(e.Problems, "\n  "))
}

// Parse reads a configuration, puts in the defaults, and reports all that is
// wrong with it as one *Error.
func Parse(data []byte) (Config, error) {
	if len(data) > maxSize {
		return Config{}, &Error{[]string{fmt.Sprintf("it has more than %d bytes", maxSize)}}
	}
	if err := json.Unmarshal(data, new(json.RawMessage)); err != nil {
		return Config{}, &Error{[]string{"it is not JSON: see " + position(data, err)}}
	}
	var c Config
	r := reader{dec: json.NewDecoder(bytes.NewReader(data))}
	r.dec.UseNumber()
	r.value("", reflect.ValueOf(&c).Elem())
	c.setDefaults()
	problems := append(r.problems, c.check(r.reported)...)
	if len(problems) > 0 {
		return Config{}, &Error{problems}
	}
	return c, nil
}

// position is where data stops being JSON; the text of the error quotes it.
func position(data []byte, err error) string {
	before := data
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		before = data[:min(max(syntax.Offset-1, 0), int64(len(data)))]
	}
	line := 1 + bytes.Count(before, []byte("\n"))
	column := len(before) - bytes.LastIndexByte(before, '\n')
	return fmt.Sprintf("line %d, column %d", line, column)
}

// reader decodes JSON that is known to be well-formed. Unlike encoding/json it
// goes on after a problem, names the place, takes names exactly as they are
// written, and refuses unknown and repeated ones: a misspelt option must not
// silently become its default.
type reader struct {
	dec      *json.Decoder
	problems []string
	wrong    []string // the fields that the problems are about
}

func (r *reader) problem(path, format string, args ...any) {
	r.wrong = append(r.wrong, path)
	if path == "" {
		path = "the whole"
	}
	r.problems = append(r.problems, path+": "+fmt.Sprintf(format, args...))
}

// reported says whether there is a problem with the form of a field, or of
// what it is a part of.
func (r *reader) reported(path string) bool {
	return slices.ContainsFunc(r.wrong, func(wrong string) bool {
		rest, part := strings.CutPrefix(path, wrong)
		return part && (wrong == "" || rest == "" || rest[0] == '.' || rest[0] == '[')
	})
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
			r.problem(path, "must be %s, not a string", article(v))
			return
		}
		v.SetString(token)
	case bool:
		if v.Kind() != reflect.Bool {
			r.problem(path, "must be %s, not true or false", article(v))
			return
		}
		v.SetBool(token)
	case json.Number:
		r.number(path, token, v)
	default:
		r.problem(path, "must be %s, not null", article(v))
	}
}

func (r *reader) number(path string, token json.Number, v reflect.Value) {
	n, err := strconv.ParseInt(string(token), 10, 64)
	switch {
	case v.Kind() != reflect.Int:
		r.problem(path, "must be %s, not a number", article(v))
	case err != nil || n > math.MaxInt32 || n < math.MinInt32:
		r.problem(path, "must be a whole number")
	default:
		v.SetInt(n)
	}
}

func (r *reader) composite(path string, open json.Delim, v reflect.Value) {
	switch {
	case open == '{' && v.Kind() == reflect.Struct:
		r.object(path, v)
	case open == '[' && v.Kind() == reflect.Slice:
		for i := 0; r.dec.More(); i++ {
			v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
			r.value(fmt.Sprintf("%s[%d]", path, i), v.Index(i))
		}
		r.dec.Token()
	default:
		what := map[json.Delim]string{'{': "an object", '[': "a list"}[open]
		r.problem(path, "must be %s, not %s", article(v), what)
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
		token, _ := r.dec.Token()
		name, _ := token.(string)
		full := join(path, name)
		i, known := field(v.Type(), name)
		switch {
		case !known:
			r.unknown(path, name, v.Type())
			r.skip()
		case seen[name]:
			r.problem(full, "is given twice")
			r.skip()
		default:
			r.value(full, v.Field(i))
		}
		seen[name] = true
	}
	r.dec.Token()
}

func field(t reflect.Type, name string) (int, bool) {
	for i := range t.NumField() {
		if fieldName(t.Field(i)) == name {
			return i, true
		}
	}
	return 0, false
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
	shown := strings.Trim(fmt.Sprintf("%.40q", name), `"`)
	if near := nearest(name, names); near != "" {
		r.problem(join(path, shown), "there is no such field: did you mean %q?", near)
		return
	}
	r.problem(join(path, shown), "there is no such field: there are %s", strings.Join(names, ", "))
}

func join(path, name string) string { return strings.TrimPrefix(path+"."+name, ".") }

// article names what v takes.
func article(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Struct:
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
