package template_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/internal/template"
)

func TestAWrongTemplateIsRefusedAtOnceWithItsPlaceAndARemedy(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"a misspelt function", "user x\npassword {{ .P | qoute }}", `template t:2:18: {{.P | qoute}}: there is no function qoute; did you mean quote?`},
		{"a function of consul-template", `{{ .P | base64Decode }}`, `template t:1:9: {{.P | base64Decode}}: there is no function base64Decode; did you mean b64dec?`},
		{"letters in another case", `{{ toJSON .P }}`, `template t:1:4: {{toJSON .P}}: there is no function toJSON; did you mean toJson?`},
		{"a default as in sprig", `{{ .P | default "x" }}`, `template t:1:9: {{.P | default "x"}}: there is no function default; did you mean secretOr?`},
		{"the environment", `{{ env "HOME" }}`, `template t:1:4: {{env "HOME"}}: there is no function env; there are and, b64dec, b64enc, contains, eq, fromJson, ge, gt, has, hasPrefix, hasSuffix, indent, index, int, join, le, len, lower, lt, ne, nindent, not, or, print, printf, quote, replace, secret, secretOr, sha256, split, squote, toJson, trim, trimPrefix, trimSuffix, upper, urlquery`},
		{"call, which text/template has", `{{ call .F }}`, `template t:1:4: {{call .F}}: there is no function call; there are `},
		{"html, which text/template has", `{{ html .F }}`, `there is no function html`},
		{"js, which text/template has", `{{ js .F }}`, `there is no function js`},
		{"slice, which text/template has", `{{ slice .F 1 }}`, `there is no function slice`},
		{"an unknown function in a branch", `{{ if .A }}{{ else }}{{ nope }}{{ end }}`, `template t:1:25: {{nope}}: there is no function nope; there are and, `},
		{"an unknown function in a definition", `{{ define "d" }}{{ nope }}{{ end }}`, `there is no function nope`},
		{"too few arguments", `{{ replace "a" .P }}`, `template t:1:4: {{replace "a" .P}}: replace has the wrong number of arguments, 2; it is used as replace OLD NEW TEXT`},
		{"too many arguments", `{{ .P | trim "x" }}`, `template t:1:9: {{.P | trim "x"}}: trim has the wrong number of arguments, 2; it is used as trim TEXT`},
		{"an argument of a key", `{{ .P "x" }}`, `template t:1:4: {{.P "x"}}: only a function takes arguments`},
		{"a pipe into a key", `{{ "x" | .P }}`, `template t:1:10: {{"x" | .P}}: only a function takes arguments`},
		{"a function as an argument", `{{ print lower }}`, `template t:1:10: {{print lower}}: a function among arguments stands in parentheses`},
		{"a fraction", `{{ print 1.5 }}`, `template t:1:10: {{print 1.5}}: numbers are whole, and have 64 bits`},
		{"a number of 65 bits", `{{ 0x1ffffffffffffffff }}`, `template t:1:`},
		{"nil", `{{ eq .P nil }}`, `template t:1:10: {{eq .P nil}}: nil has no use here; ask with not or has`},
		{"a dashed key", "a\n{{ .db-password }}", `template t:2: bad character U+002D '-'; write secret "db-password" for a key that has more than letters, digits and _`},
		{"a block without end", "a\n{{ if .P }}\nb", `template t:3: unexpected EOF`},
		{"an action without end", "a\n{{ .P\nb", `template t:3: unclosed action started at line 2`},
		{"an unknown variable", `{{ $x }}`, `template t:1: undefined variable "$x"`},
		{"break outside range", `{{ break }}`, `template t:1: {{break}} outside {{range}}`},
		{"an unknown template", `{{ define "head" }}{{ end }}{{ template "haed" }}`, `template t:1:41: there is no template "haed"; did you mean head?`},
		{"a template that calls itself", `{{ define "a" }}{{ template "a" }}{{ end }}`, `template t:1:29: the template "a" calls itself, directly or through others; use range`},
		{"a template that calls itself through others", `{{ define "a" }}{{ template "b" }}{{ end }}{{ define "b" }}{{ if .X }}{{ template "c" }}{{ end }}{{ end }}{{ define "c" }}{{ template "a" }}{{ end }}`, `calls itself`},
		{"a call of the whole template", `x{{ template "" }}`, `the template "" calls itself`},
		{"a block that calls itself", `{{ block "a" . }}{{ template "a" }}{{ end }}`, `calls itself`},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := template.Parse("t", test.text, "", "")
			if !errors.Is(err, template.ErrTemplate) || !errors.Is(err, api.ErrInvalid) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s:\n got %v\nwant %s", test.text, err, test.want)
			}
		})
	}
}

// canary is in every secret of the following tests, and must be in no error.
const canary = "CANARY"

func canaries() map[string]string {
	return map[string]string{
		"A":     canary + "A%s",
		"NAME":  canary + "NAME",
		"JSON":  `{"` + canary + `": ["` + canary + `", null, 1.5], "` + canary + `2": {}}`,
		"BAD":   `{"x": ` + canary + `}`,
		"BYTES": canary + "\xff",
		"LONG":  strings.Repeat(canary, 1000),
		"GOOD":  `{"list": ["` + canary + `"], "null": null, "fraction": 1.5}`,
	}
}

func TestAFailureNamesItsPlaceAndNeverAValue(t *testing.T) {
	for _, test := range []struct {
		name, text string
		kind       error
		want       string
	}{
		{"an absent key", "a\n  {{ .DB_URL }}", api.ErrNotFound, `template t:2:6: {{.DB_URL}}: there is no key "DB_URL"; write secretOr "DB_URL" "default", or ask with has "DB_URL", if it may be absent`},
		{"an absent secret", `{{ secret "db-url" }}`, api.ErrNotFound, `template t:1:4: {{secret "db-url"}}: there is no such key; write secretOr KEY DEFAULT, or ask with has KEY, if it may be absent`},
		{"an absent entry", `{{ index . "db-url" }}`, api.ErrNotFound, `{{index . "db-url"}}: there is no such key`},
		{"a key with a dot", `{{ .tls.crt }}`, api.ErrNotFound, `there is no key "tls"; write secret "tls.crt" if the dot belongs to the key`},
		{"an absent field", `{{ (fromJson .GOOD).host }}`, api.ErrNotFound, `there is no key "host"`},
		{"a key that is a value", `{{ secret .NAME }}`, api.ErrNotFound, `{{secret .NAME}}: there is no such key`},
		{"an absent key of a long line", `{{ print "` + strings.Repeat("x", 300) + `" .DB_URL }}`, api.ErrNotFound, `...}}: there is no key "DB_URL"`},
		{"a field of a text", `{{ .A.x }}`, template.ErrTemplate, `only the set of secrets and a map from fromJson have keys`},
		{"the set where dot is an element", `{{ range split "N" .A }}{{ .A }}{{ end }}`, template.ErrTemplate, `in range and with, the set is $`},
		{"not base64", `{{ b64dec .A }}`, template.ErrTemplate, `template t:1:4: {{b64dec .A}}: the text is not base64`},
		{"not JSON", `{{ fromJson .BAD }}`, template.ErrTemplate, `the text is not JSON`},
		{"two JSON values", `{{ fromJson (print .JSON .JSON) }}`, template.ErrTemplate, `something follows its end`},
		{"not a number", `{{ int .A }}`, template.ErrTemplate, `the text is not a whole number`},
		{"a fraction as a number", `{{ int (fromJson .GOOD).fraction }}`, template.ErrTemplate, `the text is not a whole number`},
		{"not UTF-8", `{{ quote .BYTES }}`, template.ErrTemplate, `the text is not UTF-8`},
		{"not UTF-8 in the set", `{{ toJson . }}`, template.ErrTemplate, `the text is not UTF-8`},
		{"the set as a text", `{{ . }}`, template.ErrTemplate, `a map is not a text`},
		{"a map as a text", `{{ fromJson .JSON }}`, template.ErrTemplate, `a map is not a text`},
		{"a list as a text", `{{ print (fromJson .GOOD).list }}`, template.ErrTemplate, `a list is not a text`},
		{"null as a text", `{{ (fromJson .GOOD).null }}`, template.ErrTemplate, `there is no value here`},
		{"a text and a number", `{{ eq .A 1 }}`, template.ErrTemplate, `int makes a number of a text`},
		{"a text and a list", `{{ lt .A (fromJson .GOOD).list }}`, template.ErrTemplate, `two texts or two whole numbers`},
		{"the length of a number", `{{ len 1 }}`, template.ErrTemplate, `have a length`},
		{"an entry past the end", `{{ index (fromJson .GOOD).list 1 }}`, template.ErrTemplate, `the list has no entry of this number`},
		{"a negative entry", `{{ index (fromJson .GOOD).list -1 }}`, template.ErrTemplate, `the list has no entry of this number`},
		{"a number as a key of a map", `{{ index . 1 }}`, template.ErrTemplate, `only a list has entries with numbers`},
		{"a list as a key", `{{ index . (fromJson .GOOD).list }}`, template.ErrTemplate, `a key of a map is a text`},
		{"join of a text", `{{ join "," .A }}`, template.ErrTemplate, `join needs a list`},
		{"join of maps", `{{ join "," (fromJson "[{}]") }}`, template.ErrTemplate, `a map is not a text`},
		{"split by nothing", `{{ split "" .A }}`, template.ErrTemplate, `the separator is empty`},
		{"replacing nothing", `{{ replace "" "x" .A }}`, template.ErrTemplate, `the text to replace is empty`},
		{"indent by a text", `{{ indent .A "x" }}`, template.ErrTemplate, `a number of spaces from 0 to 1000`},
		{"indent by less than nothing", `{{ nindent -1 "x" }}`, template.ErrTemplate, `a number of spaces from 0 to 1000`},
		{"a range over a text", `{{ range .A }}{{ end }}`, template.ErrTemplate, `range needs a list, a map or a whole number`},
		{"a range over an empty text", `{{ range "" }}{{ end }}`, template.ErrTemplate, `range needs a list, a map or a whole number`},
		{"a range over a number with two variables", `{{ range $i, $x := 3 }}{{ end }}`, template.ErrTemplate, `has one variable`},
		{"a format that is a value", `{{ printf .A }}`, template.ErrTemplate, `there are more verbs in the format than arguments`},
		{"too few verbs", `{{ printf "x" .A }}`, template.ErrTemplate, `there are more arguments than verbs`},
		{"a verb for a number", `{{ printf "%d" .A }}`, template.ErrTemplate, `%d needs a whole number`},
		{"a verb for a truth", `{{ printf "%t" .A }}`, template.ErrTemplate, `%t needs true or false`},
		{"a verb for types", `{{ printf "%T" .A }}`, template.ErrTemplate, `the format has something else than`},
		{"a width from an argument", `{{ printf "%*s" 3 .A }}`, template.ErrTemplate, `the format has something else than`},
		{"an argument by its number", `{{ printf "%[1]s" .A }}`, template.ErrTemplate, `the format has something else than`},
		{"a percent sign at the end", `{{ printf "%" }}`, template.ErrTemplate, `the format has something else than`},
		{"a width of four digits", `{{ printf "%1000s" .A }}`, template.ErrTemplate, `a width of more than 3 digits`},
		{"a precision of four digits", `{{ printf "%.1000s" .A }}`, template.ErrTemplate, `a width of more than 3 digits`},
		{"a variable that or passed over", `{{ or true ($x := .A) }}{{ $x }}`, template.ErrTemplate, `the variable has no value here`},
		{"a variable of the caller", `{{ define "t" }}{{ or true ($x := 1) }}{{ $x }}{{ end }}{{ $x := .A }}{{ template "t" }}`, template.ErrTemplate, `the variable has no value here`},
		{"a result that is too large", `x{{ .LONG }}`, api.ErrTooLarge, `template t:1:5: {{.LONG}}: the result would have more than 1000 bytes`},
		{"a text that is too large", strings.Repeat("x", 1001), api.ErrTooLarge, `template t:1:1: the result would have more than 1000 bytes`},
	} {
		t.Run(test.name, func(t *testing.T) {
			parsed, err := template.Parse("t", test.text, "", "")
			if err != nil {
				t.Fatal(err)
			}
			result, err := parsed.Execute(canaries(), false, 1000)
			if !isOnly(err, test.kind) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s:\n got %v\nwant %v: %s", test.text, err, test.kind, test.want)
			}
			if result != nil || strings.Contains(err.Error(), canary) {
				t.Errorf("a value is in the error, or there is a result: %v, %q", err, result)
			}
		})
	}
}

// isOnly says whether err is of one kind of this package's, and of no other.
func isOnly(err, kind error) bool {
	for _, other := range []error{template.ErrTemplate, api.ErrNotFound, api.ErrTooLarge} {
		if errors.Is(err, other) != (other == kind) {
			return false
		}
	}
	return true
}

func TestAPanicOfAFunctionIsAnErrorWithoutItsText(t *testing.T) {
	parsed, err := template.Parse("t", `{{ lower .A }}`, "", "")
	if err != nil {
		t.Fatal(err)
	}
	parsed.Replace("lower", func() { panic(canary) })
	result, err := parsed.Execute(canaries(), false, 1000)
	if result != nil || !isOnly(err, template.ErrTemplate) || strings.Contains(err.Error(), canary) {
		t.Errorf("%q, %v", result, err)
	}
}

func TestAnErrorIsOneShortLine(t *testing.T) {
	text := "{{ print `" + strings.Repeat("line\n", 1000) + "` | nope }}"
	if _, err := template.Parse("t", text, "", ""); err == nil || len(err.Error()) > 600 || strings.Contains(err.Error(), "\n") {
		t.Errorf("%v", err)
	}
}
