package template_test

import (
	"errors"
	"strings"
	"testing"
	text "text/template"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/internal/template"
)

// FuzzTemplate holds for every template: it ends, in an error that repeats no
// value or a result within the limit, and that result is what text/template
// makes of it.
func FuzzTemplate(f *testing.F) {
	for _, seed := range []string{
		`{{ .A }} {{ secret "NAME" | upper | quote }}`, `{{ range $k, $v := . }}{{ $k }}={{ squote $v }}{{ else }}{{ end }}`,
		`{{ with fromJson .GOOD }}{{ index .list 0 }}{{ .fraction }}{{ end }}`, `{{ define "a" }}{{ . }}{{ end }}{{ template "a" .A }}`,
		`{{ $x := 1 }}{{ range $i := 3 }}{{ if eq $i 2 }}{{ break }}{{ else }}{{ continue }}{{ end }}{{ $x = $i }}{{ end }}{{ $x }}`,
		`{{ printf "%-5s|%05d|%x|%q" .A 7 "a" 'x' }}{{ block "b" . }}{{ len . }}{{ end }}`, `{{ or (and .A "") (not .NAME) | print 1 2 }}`,
		`{{- /* a */ -}} {{ join "," (split "N" .NAME) | indent 3 }}{{ b64dec .A }}`, `{{ (index . "A").x }}{{ .tls.key }}{{ .my-key }}`,
		`{{ int .NAME }}{{ lt .A .NAME }}{{ replace "C" .LONG .LONG }}{{ urlquery .BYTES | sha256 }}{{ toJson $ }}{{ nindent 2 .BAD }}`,
		`{{ range $k, $v := . }}{{ if lt $k "K" }}{{ continue }}{{ end }}{{ $k }}{{ len $v }}{{ end }}{{ $ | len | print 1 "a" }}`,
		`{{ $x := 0 }}{{ range $x = 3 }}{{ block "b" $x }}{{ $ }}{{ end }}{{ if and $x (ne $x 2) }}{{ break }}{{ end }}{{ else }}{{ $x }}{{ end }}{{ $x }}`,
		`{{ with $y := index . "A" }}{{ $y }}{{ with $y := 1 }}{{ . }}{{ end }}{{ else with .NAME }}{{ . }}{{ end }}{{ or "" 0 | and 7 }}`,
	} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, source string, lenient bool) {
		parsed, err := template.Parse("t", source, "", "")
		if err != nil {
			if errors.Is(err, template.ErrTemplate) == errors.Is(err, api.ErrTooLarge) {
				t.Errorf("an error of another kind: %v", err)
			}
			return
		}
		const limit = 100_000
		result, err := parsed.Execute(canaries(), lenient, limit)
		if err != nil {
			checkError(t, source, err)
			return
		}
		if len(result) > limit {
			t.Errorf("the result has %d bytes", len(result))
		}
		if want, ok := reference(source, canaries(), lenient); ok && string(result) != want {
			t.Errorf("%s:\n got %q\nwant %q", source, result, want)
		}
	})
}

func checkError(t *testing.T, source string, err error) {
	known := 0
	for _, kind := range []error{template.ErrTemplate, api.ErrNotFound, api.ErrTooLarge} {
		if errors.Is(err, kind) {
			known++
		}
	}
	if known != 1 || strings.Contains(err.Error(), "broke off") {
		t.Errorf("an error of another kind: %v", err)
	}
	if strings.Contains(err.Error(), canary) && !strings.Contains(source, canary) {
		t.Errorf("a value is in the error: %v", err)
	}
}

// reference is what text/template makes of a template. There is none for our
// own functions, nor for those of which we have another idea: urlquery writes
// no plus signs, and printf no errors into the result.
func reference(source string, secrets map[string]string, lenient bool) (string, bool) {
	option := "missingkey=error"
	if lenient {
		option = "missingkey=zero"
	}
	parsed, err := text.New("").Option(option).Parse(source)
	if err != nil || strings.Contains(source, "urlquery") || strings.Contains(source, "printf") {
		return "", false
	}
	var result strings.Builder
	if err := parsed.Execute(&result, secrets); err != nil {
		return "", false
	}
	return result.String(), true
}
