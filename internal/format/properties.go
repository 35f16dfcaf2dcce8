package format

import (
	"fmt"
	"unicode/utf16"
)

// Properties is the pairs as key=value lines for java.util.Properties. Java
// reads such a file as Latin-1 or as UTF-8, depending on who opens it, so all
// that is not ASCII is escaped, in UTF-16 as Java has it.
func Properties(pairs []Pair) ([]byte, error) {
	if err := checkText("a properties file", pairs); err != nil {
		return nil, err
	}
	var out []byte
	for _, p := range pairs {
		for _, r := range p.Key {
			if isSyntax(r) {
				out = append(out, '\\')
			}
			out = appendProperty(out, r)
		}
		out = append(out, '=')
		for i, r := range p.Value {
			if r == ' ' && i == 0 { // else it would belong to the separator
				out = append(out, '\\')
			}
			out = appendProperty(out, r)
		}
		out = append(out, '\n')
	}
	return out, nil
}

// isSyntax reports the characters that would end a key, or make a comment of
// the line. In a value they stand as they are.
func isSyntax(r rune) bool {
	switch r {
	case ' ', '=', ':', '#', '!':
		return true
	}
	return false
}

func appendProperty(out []byte, r rune) []byte {
	switch {
	case r == '\\':
		return append(out, `\\`...)
	case r == '\n':
		return append(out, `\n`...)
	case r == '\r':
		return append(out, `\r`...)
	case r == '\t':
		return append(out, `\t`...)
	case r >= ' ' && r <= '~':
		return append(out, byte(r))
	}
	for _, unit := range utf16.AppendRune(nil, r) {
		out = fmt.Appendf(out, `\u%04x`, unit)
	}
	return out
}
