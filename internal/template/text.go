package template

import (
	"fmt"
	"strings"
)

// entryCost is about what an entry of a list or map takes beside its text.
const entryCost = 64

func split(r *run, texts []string) (any, *problem) {
	separator, text := texts[0], texts[1]
	if separator == "" {
		return nil, wrong("the separator is empty")
	}
	if text == "" {
		return []any{}, nil
	}
	if p := r.spend(entryCost * (1 + strings.Count(text, separator))); p != nil {
		return nil, p
	}
	list := []any{}
	for part := range strings.SplitSeq(text, separator) {
		list = append(list, part)
	}
	return list, nil
}

func join(r *run, arguments []any) (any, *problem) {
	separator, p := textOf(arguments[0])
	if p != nil {
		return nil, p
	}
	list, ok := arguments[1].([]any)
	if !ok {
		return nil, wrong("join needs a list, such as one from split or fromJson")
	}
	if p := r.room(sizeOf(list) + len(list)*len(separator)); p != nil {
		return nil, p
	}
	var joined strings.Builder
	for i, entry := range list {
		text, p := textOf(entry)
		if p != nil {
			return nil, p
		}
		if i > 0 {
			joined.WriteString(separator)
		}
		joined.WriteString(text)
	}
	return joined.String(), nil
}

func replace(r *run, texts []string) (any, *problem) {
	was, becomes, text := texts[0], texts[1], texts[2]
	if was == "" {
		return nil, wrong("the text to replace is empty")
	}
	if p := r.room(len(text) + strings.Count(text, was)*len(becomes)); p != nil {
		return nil, p
	}
	return strings.ReplaceAll(text, was, becomes), nil
}

// maxIndent keeps the product with a number of lines within an int.
const maxIndent = 1000

func indent(r *run, arguments []any) (any, *problem) {
	spaces, ok := arguments[0].(int64)
	if !ok || spaces < 0 || spaces > maxIndent {
		return nil, wrong(fmt.Sprintf("the first argument is a number of spaces from 0 to %d", maxIndent))
	}
	text, p := textOf(arguments[1])
	if p != nil {
		return nil, p
	}
	if p := r.room(len(text) + int(spaces)*(1+strings.Count(text, "\n"))); p != nil {
		return nil, p
	}
	padding := strings.Repeat(" ", int(spaces))
	return padding + strings.ReplaceAll(text, "\n", "\n"+padding), nil
}

func nindent(r *run, arguments []any) (any, *problem) {
	text, p := indent(r, arguments)
	if p != nil {
		return nil, p
	}
	return "\n" + text.(string), nil
}

// squote ends the quotes around each quote, since none can be escaped between.
func squote(r *run, texts []string) (any, *problem) {
	if p := r.room(2 + len(texts[0]) + 3*strings.Count(texts[0], "'")); p != nil {
		return nil, p
	}
	return "'" + strings.ReplaceAll(texts[0], "'", `'\''`) + "'", nil
}
