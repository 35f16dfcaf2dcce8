package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/hanzoai/kms/api"
)

// body decodes the JSON body into out. Unknown fields are ignored, null counts
// as absent, an empty body as {}.
func (x *exchange) body(out any) error { return x.bodyUpTo(api.MaxBody, out) }

func (x *exchange) bodyUpTo(max int64, out any) error {
	data, err := io.ReadAll(http.MaxBytesReader(x.w, x.r.Body, max))
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return api.Errorf(api.ErrTooLarge, "The body is larger than %d bytes", max)
		}
		return api.Errorf(api.ErrInvalid, "The body could not be read to its end")
	}
	return decodeJSON(data, out)
}

// decodeJSON decodes a body that was read. Errors say where, never what.
func decodeJSON(data []byte, out any) error {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil
	}
	if err := checkJSON(data); err != nil {
		return err
	}
	err := json.Unmarshal(data, out)
	var wrongType *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrongType) && wrongType.Field != "":
		return api.Errorf(api.ErrInvalid, "The field %s has the wrong type: give %s", wrongType.Field, wanted(wrongType.Type.String()))
	case errors.As(err, &wrongType):
		return api.Errorf(api.ErrInvalid, "The body must be a JSON object")
	case errors.Is(err, api.ErrInvalid):
		return err
	}
	return api.Errorf(api.ErrInvalid, "The body is not the JSON that this route takes")
}

func wanted(goType string) string {
	switch {
	case strings.HasPrefix(goType, "[]"):
		return "a list"
	case strings.HasSuffix(goType, "string"):
		return "a string"
	case strings.HasSuffix(goType, "bool"):
		return "true or false"
	case strings.Contains(goType, "int"):
		return "a whole number"
	}
	return "an object"
}

// checkJSON refuses, before anything is decoded, bodies that parsers disagree
// about or choke on: bytes that are not UTF-8, escapes that stand for no
// character, the same field twice in any case, nesting without end.
func checkJSON(data []byte) error {
	if !utf8.Valid(data) {
		return api.Errorf(api.ErrInvalid, "The body is not UTF-8")
	}
	if !json.Valid(data) {
		return api.Errorf(api.ErrInvalid, "The body is not valid JSON")
	}
	var seen []map[string]bool // fields of the objects that are open; nil for a list
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '{':
			seen = append(seen, map[string]bool{})
		case '[':
			seen = append(seen, nil)
		case '}', ']':
			seen = seen[:len(seen)-1]
		case '"':
			end := stringEnd(data, i)
			if halfRune(data[i:end]) {
				return api.Errorf(api.ErrInvalid, "The body has a \\u escape that is half of a character: send both halves, or the character itself")
			}
			if isField(data, end) {
				name := fieldName(data[i:end])
				if seen[len(seen)-1][name] {
					return api.Errorf(api.ErrInvalid, "The body has the same field twice")
				}
				seen[len(seen)-1][name] = true
			}
			i = end - 1
		}
		if len(seen) > api.MaxJSONDepth {
			return api.Errorf(api.ErrInvalid, "The body is nested deeper than %d levels", api.MaxJSONDepth)
		}
	}
	return nil
}

// stringEnd is the index behind the string that begins at start.
func stringEnd(data []byte, start int) int {
	for i := start + 1; ; i++ {
		switch data[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
}

func isField(data []byte, i int) bool {
	for i < len(data) && (data[i] == ' ' || data[i] == '\t' || data[i] == '\n' || data[i] == '\r') {
		i++
	}
	return i < len(data) && data[i] == ':'
}

// halfRune reports whether a string has a \u escape of half a surrogate pair,
// which the decoder would silently make another character of.
func halfRune(quoted []byte) bool {
	for i := 0; i < len(quoted)-1; i++ {
		if quoted[i] != '\\' {
			continue
		}
		i++
		if quoted[i] != 'u' {
			continue
		}
		first := escaped(quoted[i:])
		i += 4
		if !utf16.IsSurrogate(first) {
			continue
		}
		if i+6 >= len(quoted) || quoted[i+1] != '\\' || quoted[i+2] != 'u' || utf16.DecodeRune(first, escaped(quoted[i+2:])) == unicode.ReplacementChar {
			return true
		}
		i += 6
	}
	return false
}

// escaped is the number of an escape of four hex digits behind its u.
func escaped(text []byte) rune {
	n, _ := strconv.ParseUint(string(text[1:5]), 16, 16) // the body is valid JSON
	return rune(n)
}

// fieldName is the name of a field as the decoder compares it: without escapes
// and with one letter for all that fold into each other, as s and \u017f do.
func fieldName(quoted []byte) string {
	var name string
	if json.Unmarshal(quoted, &name) != nil {
		return string(quoted)
	}
	return strings.Map(func(r rune) rune {
		least := r
		for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
			least = min(least, next)
		}
		return least
	}, name)
}

// form decodes the body of a login: JSON, or a form as some clients post it.
func (x *exchange) form() (url.Values, error) {
	kind, _, _ := mime.ParseMediaType(x.r.Header.Get("Content-Type"))
	if kind != "application/x-www-form-urlencoded" {
		return nil, nil
	}
	data, err := io.ReadAll(http.MaxBytesReader(x.w, x.r.Body, 64<<10))
	if err != nil {
		return nil, api.Errorf(api.ErrTooLarge, "The form is larger than 64 KiB")
	}
	values, err := url.ParseQuery(string(data))
	if err != nil || !printableValues(values) {
		return nil, api.Errorf(api.ErrInvalid, "The form cannot be parsed: escape its values")
	}
	return values, nil
}

// first is the first of some query parameters that is not empty: empty ones
// count as absent, since clients send both of two alternatives.
func (x *exchange) first(names ...string) string {
	for _, name := range names {
		if value := x.query.Get(name); value != "" {
			return value
		}
	}
	return ""
}

// flag is a query parameter that is true or false.
func (x *exchange) flag(initial bool, names ...string) (bool, error) {
	switch value := x.first(names...); strings.ToLower(value) {
	case "":
		return initial, nil
	case "true", "1":
		return true, nil
	case "false", "0":
		return false, nil
	}
	return false, api.Errorf(api.ErrInvalid, "The query parameter %s must be true or false", names[0])
}

// number is a query parameter that is a whole number.
func (x *exchange) number(name string, initial int64) (int64, error) {
	value := x.first(name)
	if value == "" {
		return initial, nil
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return 0, api.Errorf(api.ErrInvalid, "The query parameter %s must be a whole number", name)
	}
	return n, nil
}

// list is a query parameter of several values, separated by commas.
func (x *exchange) list(name string) []string {
	var all []string
	for _, value := range strings.Split(x.first(name), ",") {
		if value = strings.TrimSpace(value); value != "" {
			all = append(all, value)
		}
	}
	return all
}
