package format

import "fmt"

// JSON is the pairs as one object, in their order, one to a line.
func JSON(pairs []Pair) ([]byte, error) {
	if err := checkText("a JSON file", pairs); err != nil {
		return nil, err
	}
	out, separator := []byte{'{'}, "\n  "
	for _, p := range pairs {
		out = append(out, separator...)
		out = appendQuoted(out, p.Key)
		out = append(out, ": "...)
		out = appendQuoted(out, p.Value)
		separator = ",\n  "
	}
	if len(pairs) > 0 {
		out = append(out, '\n')
	}
	return append(out, "}\n"...), nil
}

// appendQuoted appends s as a string of JSON, which is a string of YAML in
// double quotes too: YAML has the same escapes.
func appendQuoted(out []byte, s string) []byte {
	out = append(out, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			out = append(out, '\\', byte(r))
		case r == '\n':
			out = append(out, `\n`...)
		case r == '\r':
			out = append(out, `\r`...)
		case r == '\t':
			out = append(out, `\t`...)
		case mustEscape(r):
			out = fmt.Appendf(out, `\u%04x`, r)
		default:
			out = append(out, string(r)...)
		}
	}
	return append(out, '"')
}

// mustEscape reports the characters that may not stand as they are. JSON
// wants the controls below the space. Of the rest, YAML refuses DEL, the other
// controls and what is no character, folds NEL, U+2028 and U+2029 as line
// breaks, and has the byte order mark at the start of a document only.
func mustEscape(r rune) bool {
	switch {
	case r < ' ', r >= 0x7f && r < 0xa0:
		return true
	case r == 0x2028, r == 0x2029, r == 0xfeff, r == 0xfffe, r == 0xffff:
		return true
	}
	return false
}
