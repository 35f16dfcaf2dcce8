package main

import (
	"regexp"
	"strings"
	"unicode"
)

// A Go comment begins with the Go name of what it is about, and names other
// fields by theirs. Whoever writes a configuration knows neither: prose gives
// the comment without its subject, and with the names that JSON has.
func prose(doc, subject string, fields []field, say voice) string {
	text := strings.TrimPrefix(doc, subject+" ")
	text = strings.TrimPrefix(strings.TrimPrefix(text, "is "), "are ")
	text = say(text, fields)
	first, rest := text[:1], text[1:]
	return strings.ToUpper(first) + rest
}

// voice is how names and values are set off from the text around them.
type voice func(text string, fields []field) string

// plain leaves values in their quotes.
func plain(text string, fields []field) string {
	return replaceNames(text, fields, func(name string) string { return name })
}

var literal = regexp.MustCompile(`\{"[^}]*\}|"[^"]*"|\bDIR/[.\w]*\w|\s/[a-z]+\b|\b[A-Z]+_[A-Z_]+\b`)

// markdown puts names, values, paths and variables into backticks.
func markdown(text string, fields []field) string {
	var out strings.Builder
	end := 0
	for _, at := range literal.FindAllStringIndex(text, -1) {
		out.WriteString(replaceNames(text[end:at[0]], fields, code))
		out.WriteString(literalCode(text[at[0]:at[1]]))
		end = at[1]
	}
	out.WriteString(replaceNames(text[end:], fields, code))
	return out.String()
}

// literalCode keeps the quotes of a JSON string, which tell the value "signal"
// from the option signal, and drops those around a command.
func literalCode(text string) string {
	word := strings.TrimLeftFunc(text, unicode.IsSpace)
	space := text[:len(text)-len(word)]
	if word[0] == '"' && strings.Contains(word, " ") {
		word = strings.Trim(word, `"`)
	}
	return space + code(word)
}

func code(text string) string { return "`" + text + "`" }

var word = regexp.MustCompile(`\b[A-Z]\w*\b`)

func replaceNames(text string, fields []field, set func(string) string) string {
	return word.ReplaceAllStringFunc(text, func(word string) string {
		for _, f := range fields {
			if f.goName == word {
				return set(f.name)
			}
		}
		return word
	})
}
