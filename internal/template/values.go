package template

import (
	"cmp"
	"encoding/json"
	"strconv"
	"strings"
)

// A value is nil, a bool, an int64, a json.Number (a number that is no int64,
// as it was written), a string, a []any, a map[string]any from JSON, or the
// map[string]string of the secrets.

// textOf is a value as text. Lists and maps have none: written by accident,
// they would put every secret into the file.
func textOf(value any) (string, *problem) {
	switch value := value.(type) {
	case string:
		return value, nil
	case int64:
		return strconv.FormatInt(value, 10), nil
	case bool:
		return strconv.FormatBool(value), nil
	case json.Number:
		return string(value), nil
	case []any:
		return "", wrong("a list is not a text; use range, index, join or toJson")
	case nil:
		return "", wrong("there is no value here; it is null in the JSON, or nothing was passed to the template")
	}
	return "", wrong("a map is not a text; name one of its keys, or use range or toJson")
}

// truth is whether a value counts as true.
func truth(value any) bool {
	switch value := value.(type) {
	case string:
		return value != ""
	case int64:
		return value != 0
	case bool:
		return value
	case json.Number:
		f, err := value.Float64()
		return err != nil || f != 0
	case []any:
		return len(value) > 0
	case map[string]any:
		return len(value) > 0
	case map[string]string:
		return len(value) > 0
	}
	return false
}

func not(_ *run, arguments []any) (any, *problem) { return !truth(arguments[0]), nil }

func equalsOne(_ *run, arguments []any) (any, *problem) {
	for _, other := range arguments[1:] {
		same, p := equal(arguments[0], other)
		if p != nil || same {
			return same, p
		}
	}
	return false, nil
}

func differs(_ *run, arguments []any) (any, *problem) {
	same, p := equal(arguments[0], arguments[1])
	return !same, p
}

func equal(a, b any) (bool, *problem) {
	if a, ok := a.(bool); ok {
		if b, ok := b.(bool); ok {
			return a == b, nil
		}
	}
	order, p := compare(a, b)
	return order == 0, p
}

func ordered(holds func(order int) bool) func(*run, []any) (any, *problem) {
	return func(_ *run, arguments []any) (any, *problem) {
		order, p := compare(arguments[0], arguments[1])
		return holds(order), p
	}
}

func compare(a, b any) (int, *problem) {
	switch a := a.(type) {
	case string:
		if b, ok := b.(string); ok {
			return strings.Compare(a, b), nil
		}
	case int64:
		if b, ok := b.(int64); ok {
			return cmp.Compare(a, b), nil
		}
	}
	return 0, wrong("two texts or two whole numbers can be compared; int makes a number of a text, print a text of a number")
}

func integer(_ *run, texts []string) (any, *problem) {
	n, err := strconv.ParseInt(strings.TrimSpace(texts[0]), 10, 64)
	if err != nil {
		return nil, wrong("the text is not a whole number of 64 bits")
	}
	return n, nil
}

func length(_ *run, arguments []any) (any, *problem) {
	switch value := arguments[0].(type) {
	case string:
		return int64(len(value)), nil
	case []any:
		return int64(len(value)), nil
	case map[string]any:
		return int64(len(value)), nil
	case map[string]string:
		return int64(len(value)), nil
	}
	return nil, wrong("only a text, a list and a map have a length")
}

func index(r *run, arguments []any) (value any, p *problem) {
	value = arguments[0]
	for _, key := range arguments[1:] {
		switch key := key.(type) {
		case string:
			value, p = r.named(value, key)
		case int64:
			value, p = element(value, key)
		default:
			p = wrong("a key of a map is a text, and one of a list a whole number")
		}
		if p != nil {
			return nil, p
		}
	}
	return value, nil
}

func element(of any, i int64) (any, *problem) {
	list, ok := of.([]any)
	if !ok {
		return nil, wrong("only a list has entries with numbers")
	}
	if i < 0 || i >= int64(len(list)) {
		return nil, wrong("the list has no entry of this number; lists count from 0")
	}
	return list[i], nil
}
