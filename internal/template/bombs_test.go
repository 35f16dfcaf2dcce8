package template_test

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/internal/template"
)

// memory is the most that a template may allocate, all in all, and the most
// stack it may take; a goroutine that takes more ends the test binary.
const memory = 64 << 20

// allocated is what was allocated while f ran.
func allocated(f func()) uint64 {
	defer debug.SetMaxStack(debug.SetMaxStack(memory))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestATemplateThatWouldTakeTooMuchToRunEndsWithAnError(t *testing.T) {
	calls := `{{ define "t0" }}{{ end }}`
	for i := range 50 {
		calls += fmt.Sprintf(`{{ define "t%d" }}{{ template "t%d" }}{{ template "t%[2]d" }}{{ end }}`, i+1, i)
	}
	double := `{{ $x := .LONG }}{{ range 100 }}{{ $x = %s }}{{ end }}`
	secrets := shop()
	secrets["LONG"], secrets["HUGE"] = strings.Repeat("x", 64<<10), "9223372036854775807"
	secrets["GIANT"] = strings.Repeat("'\n", 15<<20)
	secrets["CONTROL"] = strings.Repeat("\x01", 7<<20)
	for i := range 100 {
		secrets[fmt.Sprint("KEY_", i)] = "value"
	}
	for _, test := range []struct {
		name, text string
		kind       error
		want       string
	}{
		{"a range over a huge number", `{{ range 1000000000000 }}{{ end }}`, template.ErrTemplate, "steps"},
		{"a range that continues", `{{ range 1000000000000 }}{{ continue }}{{ end }}`, template.ErrTemplate, "steps"},
		{"ranges in ranges", `{{ range 10000 }}{{ range 10000 }}{{ range 10000 }}{{ end }}{{ end }}{{ end }}`, template.ErrTemplate, "steps"},
		{"a range over a number from a secret", `{{ range int .HUGE }}{{ end }}`, template.ErrTemplate, "steps"},
		{"ranges over the whole set", `{{ range . }}{{ range $ }}{{ range $ }}{{ break }}{{ end }}{{ end }}{{ end }}`, template.ErrTemplate, "steps"},
		{"templates that double", calls + `{{ template "t50" }}`, template.ErrTemplate, "steps"},
		{"a search that is repeated", `{{ range 1000000 }}{{ if contains "yz" $.LONG }}{{ end }}{{ end }}`, template.ErrTemplate, "steps"},
		{"a digest that is repeated", `{{ range 1000000 }}{{ if sha256 $.LONG }}{{ end }}{{ end }}`, api.ErrTooLarge, "what the functions make"},
		{"many variables", strings.Repeat(`{{ $x := 1 }}`, 4000) + `{{ range 30000 }}{{ if $ }}{{ end }}{{ end }}`, template.ErrTemplate, "steps"},
		{"parentheses in parentheses", "{{ " + strings.Repeat("(", 9999) + "1" + strings.Repeat(")", 9999) + " }}", template.ErrTemplate, "nested more than 1000 deep"},
		{"calls in arguments", "{{ " + strings.Repeat("not (", 9999) + "1" + strings.Repeat(")", 9999) + " }}", template.ErrTemplate, "nested more than 1000 deep"},
		{"branches in branches", strings.Repeat("{{ if 1 }}", 4999) + strings.Repeat("{{ end }}", 4999), api.ErrTooLarge, "actions"},
		{"branches in branches, and few enough", strings.Repeat("{{ if 1 }}", 2500) + strings.Repeat("{{ end }}", 2500), template.ErrTemplate, "nested more than 1000 deep"},
		{"a chain of templates", chain(1600), template.ErrTemplate, "nested more than 1000 deep"},
		{"a text that doubles", fmt.Sprintf(double, `print $x $x`), api.ErrTooLarge, "what the functions make"},
		{"a text that doubles by printf", fmt.Sprintf(double, `printf "%s%s" $x $x`), api.ErrTooLarge, "what the functions make"},
		{"a text that doubles by join", fmt.Sprintf(double, `split "x" $x | join (print $x "xx")`), api.ErrTooLarge, "what the functions make"},
		{"a text that doubles by replace", fmt.Sprintf(double, `replace "x" "xx" $x`), api.ErrTooLarge, "what the functions make"},
		{"a text that grows by base64", fmt.Sprintf(double, `b64enc $x`), api.ErrTooLarge, "what the functions make"},
		{"a text that grows by quotes", fmt.Sprintf(double, `quote $x | quote`), api.ErrTooLarge, "what the functions make"},
		{"a text that grows by shell quotes", fmt.Sprintf(double, `squote $x | squote`), api.ErrTooLarge, "what the functions make"},
		{"a text that grows by escapes", fmt.Sprintf(double, `urlquery $x | urlquery`), api.ErrTooLarge, "what the functions make"},
		{"a text that grows by JSON", fmt.Sprintf(double, `toJson $ | print $x`), api.ErrTooLarge, "what the functions make"},
		{"a text that is copied", `{{ range 1000000 }}{{ $x := upper $.LONG }}{{ end }}`, api.ErrTooLarge, "what the functions make"},
		{"an argument many times", `{{ print` + strings.Repeat(" $.LONG", 200) + ` }}`, api.ErrTooLarge, "what the functions make"},
		{"an argument very many times", `{{ print` + strings.Repeat(" $.LONG", 30000) + ` }}`, template.ErrTemplate, "steps"},
		{"a wide format", `{{ printf "` + strings.Repeat("%999s", 9000) + `"` + strings.Repeat(" 1", 9000) + ` }}`, api.ErrTooLarge, "what the functions make"},
		{"all lines far to the right", `{{ replace "x" "\n" .LONG | indent 1000 }}`, api.ErrTooLarge, "what the functions make"},
		{"replacements of replacements", `{{ $x := .LONG }}{{ replace "x" $x $x }}`, api.ErrTooLarge, "what the functions make"},
		{"a long separator", `{{ split "x" .LONG | join .LONG }}`, api.ErrTooLarge, "what the functions make"},
		{"a list of a million", `{{ $x := "" }}{{ range 100 }}{{ $x = split "x" $.LONG }}{{ end }}`, api.ErrTooLarge, "what the functions make"},
		{"JSON of many small values", `{{ fromJson (replace "x" "1," .LONG | printf "[%s1]") }}`, api.ErrTooLarge, "what the functions make"},
		{"JSON of many maps", `{{ fromJson (replace "x" "{}," .LONG | printf "[%s1]") }}`, api.ErrTooLarge, "what the functions make"},
		{"JSON that is deep", `{{ fromJson (replace "x" "[" .LONG) }}`, api.ErrTooLarge, "what the functions make"},
		{"escapes in a giant text", `{{ urlquery .GIANT }}`, api.ErrTooLarge, "what the functions make"},
		{"base64 of a giant text", `{{ b64enc .GIANT }}`, api.ErrTooLarge, "what the functions make"},
		{"quotes in a giant text", `{{ quote .GIANT }}`, api.ErrTooLarge, "what the functions make"},
		{"quotes in a large text of control characters", `{{ quote .CONTROL }}`, api.ErrTooLarge, "what the functions make"},
		{"shell quotes in a giant text", `{{ squote .GIANT }}`, api.ErrTooLarge, "what the functions make"},
		{"the JSON of a giant text", `{{ toJson . }}`, api.ErrTooLarge, "what the functions make"},
		{"a result without end", `{{ range 1000000 }}{{ $.LONG }}{{ end }}`, api.ErrTooLarge, "the result would have"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var err error
			bytes := allocated(func() { err = parseAndExecute(test.text, secrets) })
			if !isOnly(err, test.kind) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v\nwant %v with %q", err, test.kind, test.want)
			}
			if bytes > memory {
				t.Errorf("it allocated %d MiB", bytes>>20)
			}
		})
	}
}

func parseAndExecute(text string, secrets map[string]string) error {
	parsed, err := template.Parse("t", text, "", "")
	if err != nil {
		return err
	}
	_, err = parsed.Execute(secrets, false, 1<<20)
	return err
}

// chain is n templates of which each calls the next.
func chain(n int) string {
	text := `{{ define "t0" }}{{ end }}`
	for i := range n {
		text += fmt.Sprintf(`{{define "t%d"}}{{template "t%d"}}{{end}}`, i+1, i)
	}
	return text + fmt.Sprintf(`{{ template "t%d" }}`, n)
}

func TestATemplateThatWouldTakeTooMuchToReadEndsWithAnError(t *testing.T) {
	for _, test := range []struct {
		name, text string
		kind       error // nil where it can be read
	}{
		{"a long text", strings.Repeat("x", 256<<10+1), api.ErrTooLarge},
		{"the longest text", strings.Repeat("x", 256<<10), nil},
		{"many actions", strings.Repeat("{{1}}", 5001), api.ErrTooLarge},
		{"as many actions as there may be", strings.Repeat("{{1}}", 5000), nil},
		{"many branches without end", strings.Repeat("{{if 1}}", 5000), template.ErrTemplate},
		{"many parentheses", "{{" + strings.Repeat("(", 100000) + "1}}", template.ErrTemplate},
		{"many numbers", "{{print" + strings.Repeat(" 1", 100<<10) + "}}", nil},
		{"many calls that do not exist", "{{1" + strings.Repeat("|a", 100<<10) + "}}", template.ErrTemplate},
	} {
		t.Run(test.name, func(t *testing.T) {
			var err error
			bytes := allocated(func() { _, err = template.Parse("t", test.text, "", "") })
			if !errors.Is(err, test.kind) {
				t.Errorf("got %v, want %v", err, test.kind)
			}
			if bytes > memory {
				t.Errorf("it allocated %d MiB", bytes>>20)
			}
		})
	}
}
