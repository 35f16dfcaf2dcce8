package template

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"slices"
	"strings"
)

// Function describes a function that templates can call.
type Function struct {
	// Name is what it is called by.
	Name string

	// Usage is a call of it, with words in capitals for what is to be filled
	// in. The last one may come through a pipe.
	Usage string

	// Doc is one sentence on what it gives.
	Doc string
}

// Functions are all that templates can call, sorted by name.
func Functions() []Function {
	var list []Function
	for _, f := range functions() {
		list = append(list, f.Function)
	}
	slices.SortFunc(list, func(a, b Function) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// function is a Function with what runs it, for least to most arguments.
type function struct {
	Function
	least, most int
	call        func(r *run, arguments []any) (any, *problem)
}

// many stands for any number of arguments.
const many = -1

// functions is the allow-list. A value goes last, so that it can be piped.
func functions() map[string]function {
	all := map[string]function{}
	for _, f := range slices.Concat(secretFunctions(), logicFunctions(), valueFunctions(), textFunctions(), formatFunctions()) {
		all[f.Name] = f
	}
	return all
}

func secretFunctions() []function {
	return []function{
		{Function{"secret", `secret "KEY"`, "The value of a secret, of any name."}, 1, 1, texts(secret)},
		{Function{"has", `has "KEY"`, "Whether there is a secret of this name."}, 1, 1, texts(has)},
		{Function{"secretOr", `secretOr "KEY" "DEFAULT"`, "The value of a secret, or the default where there is none of this name."}, 2, 2, texts(secretOr)},
	}
}

func logicFunctions() []function {
	return []function{
		{Function{"and", `and A B...`, "The first argument that is empty, zero or false, or the last one."}, 1, many, nil}, // see decide
		{Function{"or", `or A B...`, "The first argument that is not empty, zero or false, or the last one."}, 1, many, nil},
		{Function{"not", `not A`, "Whether A is empty, zero or false; the text \"false\" is none of these."}, 1, 1, not},
		{Function{"eq", `eq A B...`, "Whether A equals B, or one of several."}, 2, many, equalsOne},
		{Function{"ne", `ne A B`, "Whether A differs from B."}, 2, 2, differs},
		{Function{"lt", `lt A B`, "Whether A is less than B; texts compare by their bytes, so use int for numbers."}, 2, 2, ordered(func(order int) bool { return order < 0 })},
		{Function{"le", `le A B`, "Whether A is less than B or equal."}, 2, 2, ordered(func(order int) bool { return order <= 0 })},
		{Function{"gt", `gt A B`, "Whether A is greater than B."}, 2, 2, ordered(func(order int) bool { return order > 0 })},
		{Function{"ge", `ge A B`, "Whether A is greater than B or equal."}, 2, 2, ordered(func(order int) bool { return order >= 0 })},
	}
}

func valueFunctions() []function {
	return []function{
		{Function{"int", `int TEXT`, "The whole number that a text is, in decimal."}, 1, 1, texts(integer)},
		{Function{"len", `len A`, "The number of bytes of a text, or of entries of a list or map."}, 1, 1, length},
		{Function{"index", `index A KEY...`, "The entry of a map or list; lists count from 0."}, 2, many, index},
		{Function{"split", `split SEPARATOR TEXT`, "The list of the parts of a text; an empty text has none."}, 2, 2, texts(split)},
		{Function{"join", `join SEPARATOR LIST`, "The text of a list's entries, with the separator between them."}, 2, 2, join},
		{Function{"fromJson", `fromJson TEXT`, "The value that a JSON text stands for; .NAME and index reach into it."}, 1, 1, texts(fromJSON)},
		{Function{"toJson", `toJson A`, "The JSON text of anything, on one line."}, 1, 1, toJSON},
	}
}

func textFunctions() []function {
	return []function{
		{Function{"lower", `lower TEXT`, "The text in small letters."}, 1, 1, texts(convert(strings.ToLower, 2))},
		{Function{"upper", `upper TEXT`, "The text in capital letters."}, 1, 1, texts(convert(strings.ToUpper, 2))},
		{Function{"trim", `trim TEXT`, "The text without white space at its ends."}, 1, 1, texts(convert(strings.TrimSpace, 0))},
		{Function{"trimPrefix", `trimPrefix PREFIX TEXT`, "The text without the prefix, if it has it."}, 2, 2, texts(trimPrefix)},
		{Function{"trimSuffix", `trimSuffix SUFFIX TEXT`, "The text without the suffix, if it has it."}, 2, 2, texts(trimSuffix)},
		{Function{"hasPrefix", `hasPrefix PREFIX TEXT`, "Whether the text begins with the prefix."}, 2, 2, texts(hasPrefix)},
		{Function{"hasSuffix", `hasSuffix SUFFIX TEXT`, "Whether the text ends with the suffix."}, 2, 2, texts(hasSuffix)},
		{Function{"contains", `contains PART TEXT`, "Whether the part occurs in the text."}, 2, 2, texts(contains)},
		{Function{"replace", `replace OLD NEW TEXT`, "The text with NEW for each OLD."}, 3, 3, texts(replace)},
		{Function{"indent", `indent SPACES TEXT`, "The text with spaces before each line."}, 2, 2, indent},
		{Function{"nindent", `nindent SPACES TEXT`, "A line break, and the text with spaces before each line."}, 2, 2, nindent},
	}
}

func formatFunctions() []function {
	return []function{
		{Function{"print", `print A B...`, "The arguments as one text, with a space between two neighbours of which neither is a text."}, 1, many, sprint},
		{Function{"printf", `printf FORMAT A...`, "The format with an argument for each of %s %v %q %d %x %X %t, which may have a width, as in %05d."}, 1, many, sprintf},
		{Function{"quote", `quote TEXT`, "The text in double quotes, as JSON and YAML read it."}, 1, 1, texts(quote)},
		{Function{"squote", `squote TEXT`, "The text in single quotes, as a POSIX shell reads it."}, 1, 1, texts(squote)},
		{Function{"urlquery", `urlquery TEXT`, "The text with %XX escapes, for a user, a password or a query in a URL."}, 1, 1, texts(convert(escape, 3))},
		{Function{"b64enc", `b64enc TEXT`, "The text in base64."}, 1, 1, texts(convert(encode, 2))},
		{Function{"b64dec", `b64dec TEXT`, "What base64 stands for."}, 1, 1, texts(decode)},
		{Function{"sha256", `sha256 TEXT`, "The SHA-256 of the text, in hexadecimal."}, 1, 1, texts(digest)},
	}
}

// texts adapts a function of texts; numbers and booleans are taken as written.
func texts(f func(r *run, texts []string) (any, *problem)) func(*run, []any) (any, *problem) {
	return func(r *run, arguments []any) (any, *problem) {
		converted := make([]string, len(arguments))
		for i, argument := range arguments {
			var p *problem
			if converted[i], p = textOf(argument); p != nil {
				return nil, p
			}
		}
		return f(r, converted)
	}
}

// convert adapts a function of one text that makes the text up to so many
// times as long.
func convert(f func(string) string, growth int) func(*run, []string) (any, *problem) {
	return func(r *run, texts []string) (any, *problem) {
		if p := r.room(growth * len(texts[0])); p != nil {
			return nil, p
		}
		return f(texts[0]), nil
	}
}

func secret(r *run, texts []string) (any, *problem) { return r.named(r.secrets, texts[0]) }

func has(r *run, texts []string) (any, *problem) {
	_, found := r.secrets[texts[0]]
	return found, nil
}

func secretOr(r *run, texts []string) (any, *problem) {
	if value, found := r.secrets[texts[0]]; found {
		return value, nil
	}
	return texts[1], nil
}

func trimPrefix(_ *run, texts []string) (any, *problem) {
	return strings.TrimPrefix(texts[1], texts[0]), nil
}

func trimSuffix(_ *run, texts []string) (any, *problem) {
	return strings.TrimSuffix(texts[1], texts[0]), nil
}

func hasPrefix(_ *run, texts []string) (any, *problem) {
	return strings.HasPrefix(texts[1], texts[0]), nil
}

func hasSuffix(_ *run, texts []string) (any, *problem) {
	return strings.HasSuffix(texts[1], texts[0]), nil
}

func contains(_ *run, texts []string) (any, *problem) {
	return strings.Contains(texts[1], texts[0]), nil
}

func decode(_ *run, texts []string) (any, *problem) {
	plain, err := base64.StdEncoding.DecodeString(texts[0])
	if err != nil {
		return nil, wrong("the text is not base64 of the standard alphabet with padding")
	}
	return string(plain), nil
}

func encode(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// escape writes %20 for a space: a plus sign means one in a query only.
func escape(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }

// digest pays for the copy that hashing takes.
func digest(r *run, texts []string) (any, *problem) {
	if p := r.spend(len(texts[0])); p != nil {
		return nil, p
	}
	sum := sha256.Sum256([]byte(texts[0]))
	return hex.EncodeToString(sum[:]), nil
}
