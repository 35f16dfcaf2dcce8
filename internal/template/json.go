package template

import (
	"encoding/json"
	"io"
	"strings"
	"unicode/utf8"
)

func fromJSON(r *run, texts []string) (any, *problem) {
	entries := 1
	for _, mark := range []string{",", "[", "{"} {
		entries += strings.Count(texts[0], mark)
	}
	if p := r.spend(len(texts[0]) + 2*entryCost*entries); p != nil {
		return nil, p
	}
	decoder := json.NewDecoder(strings.NewReader(texts[0]))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, wrong("the text is not JSON")
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, wrong("the text is not JSON: something follows its end")
	}
	return withIntegers(value), nil
}

// withIntegers makes int64 of the numbers that are. The others stay as they
// were written, because a float64 would lose digits.
func withIntegers(value any) any {
	switch value := value.(type) {
	case json.Number:
		if n, err := value.Int64(); err == nil {
			return n
		}
	case []any:
		for i := range value {
			value[i] = withIntegers(value[i])
		}
	case map[string]any:
		for key := range value {
			value[key] = withIntegers(value[key])
		}
	}
	return value
}

func toJSON(r *run, arguments []any) (any, *problem) {
	size, valid := measureJSON(arguments[0])
	if !valid {
		// encoding/json would replace what is not UTF-8.
		return nil, wrong("the text is not UTF-8, which JSON must be; use b64enc")
	}
	if p := r.room(size); p != nil {
		return nil, p
	}
	var text strings.Builder
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(arguments[0]); err != nil {
		return nil, wrong("the value has no JSON")
	}
	return strings.TrimSuffix(text.String(), "\n"), nil
}

func quote(r *run, texts []string) (any, *problem) { return toJSON(r, []any{texts[0]}) }

// measureJSON is how long the JSON of a value is at most, and whether its
// texts are UTF-8.
func measureJSON(value any) (size int, valid bool) {
	valid = true
	add := func(values ...any) {
		for _, value := range values {
			n, ok := measureJSON(value)
			size, valid = size+n+1, valid && ok
		}
	}
	switch value := value.(type) {
	case string:
		return measureString(value), utf8.ValidString(value)
	case []any:
		add(value...)
	case map[string]any:
		for key, entry := range value {
			add(key, entry)
		}
	case map[string]string:
		for key, entry := range value {
			add(key, entry)
		}
	case json.Number:
		return len(value), true
	}
	return size + len("-9223372036854775808"), valid
}

func measureString(text string) int {
	size := len(text) + len(`""`)
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"' || c == '\\':
			size++
		case c < ' ' || c == 0xE2: // U+2028 and U+2029 begin with the latter
			size += len(`\u0000`) - 1
		}
	}
	return size
}
