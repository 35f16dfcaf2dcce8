package template

import (
	"fmt"
	"strings"
)

// widest is the most digits of a width or a precision.
const widest = 3

func sprint(r *run, arguments []any) (any, *problem) {
	for _, argument := range arguments {
		if _, p := textOf(argument); p != nil {
			return nil, p
		}
	}
	if p := r.room(sizeOf(arguments) + entryCost*len(arguments)); p != nil {
		return nil, p
	}
	return fmt.Sprint(arguments...), nil
}

// sprintf formats one verb after the other, because fmt would write what does
// not fit together, such as a missing argument, into the result.
func sprintf(r *run, arguments []any) (any, *problem) {
	format, ok := arguments[0].(string)
	if !ok {
		return nil, wrong("the first argument is the format, a text")
	}
	var printed strings.Builder
	arguments = arguments[1:]
	for {
		text, rest, found := strings.Cut(format, "%")
		printed.WriteString(text)
		if !found {
			break
		}
		var piece string
		var p *problem
		if piece, rest, arguments, p = r.verb(rest, arguments, printed.Len()); p != nil {
			return nil, p
		}
		printed.WriteString(piece)
		format = rest
	}
	if len(arguments) > 0 {
		return nil, wrong("there are more arguments than verbs in the format")
	}
	return printed.String(), nil
}

// verb formats the first argument by the verb that follows a percent sign.
func (r *run) verb(format string, arguments []any, made int) (piece, rest string, left []any, p *problem) {
	if rest, ok := strings.CutPrefix(format, "%"); ok {
		return "%", rest, arguments, nil
	}
	spec, rest, p := specification(format)
	if p != nil {
		return "", "", nil, p
	}
	if len(arguments) == 0 {
		return "", "", nil, wrong("there are more verbs in the format than arguments")
	}
	argument, p := operandOf(spec[len(spec)-1], arguments[0])
	if p != nil {
		return "", "", nil, p
	}
	// A byte takes up to four in %q, and up to five in %# x.
	if p := r.room(made + len(rest) + 5*sizeOf([]any{argument}) + 2000 + entryCost); p != nil {
		return "", "", nil, p
	}
	return fmt.Sprintf("%"+spec, argument), rest, arguments[1:], nil
}

// specification cuts flags, width, precision and verb off.
func specification(format string) (spec, rest string, p *problem) {
	i := skip(format, 0, "+-# 0", len(format))
	i = skip(format, i, "0123456789", widest)
	if i < len(format) && format[i] == '.' {
		i = skip(format, i+1, "0123456789", widest)
	}
	if i >= len(format) || !strings.ContainsRune("svqdxXt", rune(format[i])) {
		return "", "", wrong(fmt.Sprintf("the format has something else than %%s %%v %%q %%d %%x %%X %%t, or a width of more than %d digits; %%%% stands for a percent sign", widest))
	}
	return format[:i+1], format[i+1:], nil
}

// skip is the place after up to most of the characters.
func skip(format string, i int, characters string, most int) int {
	for end := i + most; i < len(format) && i < end && strings.IndexByte(characters, format[i]) >= 0; {
		i++
	}
	return i
}

// operandOf is an argument in the type that fits the verb.
func operandOf(verb byte, argument any) (any, *problem) {
	switch number, isNumber := argument.(int64); {
	case isNumber && strings.IndexByte("dvxX", verb) >= 0:
		return number, nil
	case verb == 'd':
		return nil, wrong("%d needs a whole number; int makes one of a text")
	}
	if truth, ok := argument.(bool); ok && strings.IndexByte("tv", verb) >= 0 {
		return truth, nil
	}
	if verb == 't' {
		return nil, wrong("%t needs true or false")
	}
	return textOf(argument)
}
