package template_test

import (
	"encoding/base64"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hanzoai/kms/internal/template"
)

// shop are the secrets of the application that the tests configure.
func shop() map[string]string {
	return map[string]string{
		"DB_HOST":     "db.internal",
		"DB_PORT":     "5432",
		"DB_USER":     "shop",
		"DB_PASSWORD": `p@ss:w/rd 100%\`,
		"API_TOKENS":  "one,two,three",
		"DEBUG":       "false",
		"EMPTY":       "",
		"GREETING":    `it's "fine"`,
		"OAUTH":       `{"client": {"id": "web", "scopes": ["read", "write"]}, "ttl": 3600, "rate": 1.50, "serial": 12345678901234567890, "gone": null, "on": true}`,
		"TLS_CERT":    base64.StdEncoding.EncodeToString([]byte("-----BEGIN\nMIIB\n-----END\n")),
		"tls.key":     "-----KEY\nabc\n-----",
		"my-key":      "dashed",
		"URL_SUFFIX":  "  https://shop.example/api/  ",
	}
}

func render(t *testing.T, text string) string {
	t.Helper()
	parsed, err := template.Parse("shop.conf", text, "", "")
	if err != nil {
		t.Fatal(err)
	}
	result, err := parsed.Execute(shop(), false, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return string(result)
}

func TestConfigurationFilesAreRendered(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"an nginx upstream with a token", `upstream shop {
{{- range split "," .API_TOKENS }}
    server {{ . }}.internal:8080;
{{- end }}
}
location / {
    proxy_set_header Authorization "Basic {{ printf "%s:%s" .DB_USER .DB_PASSWORD | b64enc }}";
}
`, `upstream shop {
    server one.internal:8080;
    server two.internal:8080;
    server three.internal:8080;
}
location / {
    proxy_set_header Authorization "Basic c2hvcDpwQHNzOncvcmQgMTAwJVw=";
}
`},
		{"an application.yaml", `spring:
  datasource:
    password: {{ .DB_PASSWORD | quote }}
  ssl:
    key: |
{{ secret "tls.key" | indent 6 }}
    certificate: |{{ b64dec .TLS_CERT | trim | nindent 6 }}
  debug: {{ if eq .DEBUG "true" }}on{{ else }}off{{ end }}
  oauth: {{ (fromJson .OAUTH).client | toJson }}
`, `spring:
  datasource:
    password: "p@ss:w/rd 100%\\"
  ssl:
    key: |
      -----KEY
      abc
      -----
    certificate: |
      -----BEGIN
      MIIB
      -----END
  debug: off
  oauth: {"id":"web","scopes":["read","write"]}
`},
		{"a pgpass", `{{ .DB_HOST }}:{{ .DB_PORT }}:*:{{ .DB_USER }}:{{ .DB_PASSWORD | replace "\\" "\\\\" | replace ":" "\\:" }}` + "\n",
			`db.internal:5432:*:shop:p@ss\:w/rd 100%\\` + "\n"},
		{"a connection string", `postgres://{{ .DB_USER }}:{{ .DB_PASSWORD | urlquery }}@{{ .DB_HOST }}:{{ .DB_PORT }}/shop`,
			`postgres://shop:p%40ss%3Aw%2Frd%20100%25%5C@db.internal:5432/shop`},
		{"a file of shell variables", `{{ range $key, $value := . }}{{ if hasPrefix "DB_" $key }}export {{ $key }}={{ squote $value }}` + "\n" + `{{ end }}{{ end }}`,
			`export DB_HOST='db.internal'
export DB_PASSWORD='p@ss:w/rd 100%\'
export DB_PORT='5432'
export DB_USER='shop'
`},
		{"a template for each host", `{{ define "host" }}[{{ .name }}:{{ $.port }}]{{ end }}{{ range (fromJson "[{\"name\": \"a\", \"port\": 1}, {\"name\": \"b\", \"port\": 2}]") }}{{ template "host" . }}{{ end }}`,
			`[a:1][b:2]`},
	} {
		t.Run(test.name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, render(t, test.text)); diff != "" {
				t.Errorf("rendering (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEveryFunctionDoesWhatItsDocumentationSays(t *testing.T) {
	tests := []struct{ function, text, want string }{
		{"secret", `{{ secret "my-key" }} {{ "tls.key" | secret | len }}`, "dashed 18"},
		{"has", `{{ has "DB_HOST" }} {{ has "OTHER" }} {{ has "EMPTY" }}`, "true false true"},
		{"secretOr", `{{ secretOr "OTHER" "x" }}{{ secretOr "EMPTY" "x" }}{{ secretOr "DB_USER" "x" }}`, "xshop"},
		{"and", `{{ and .DB_USER .DB_HOST }} {{ and .EMPTY .NOT_EVALUATED }} {{ 1 | and 2 }}`, "db.internal  1"},
		{"or", `{{ or .EMPTY "other" }} {{ or .DB_USER .NOT_EVALUATED }} {{ 0 | or "" }}`, "other shop 0"},
		{"not", `{{ not .EMPTY }} {{ not .DEBUG }} {{ not 0 }} {{ not (fromJson "{}") }} {{ not (fromJson "null") }} {{ not (fromJson "0.0") }}`, "true false true true true true"},
		{"eq", `{{ eq .DB_USER "root" "shop" }} {{ eq 1 2 3 }} {{ eq true true }} {{ eq (fromJson "1") 1 }}`, "true false true true"},
		{"ne", `{{ ne .DB_USER "root" }} {{ ne 1 1 }}`, "true false"},
		{"lt", `{{ lt (int .DB_PORT) 10000 }} {{ lt .DB_PORT "10000" }} {{ lt -9223372036854775808 9223372036854775807 }}`, "true false true"},
		{"le", `{{ le 1 1 }} {{ le 2 1 }}`, "true false"},
		{"gt", `{{ gt 2 1 }} {{ gt "a" "b" }}`, "true false"},
		{"ge", `{{ ge 1 1 }} {{ ge 1 2 }}`, "true false"},
		{"int", `{{ int " -17\n" }} {{ int "007" }} {{ range int "3" }}{{ . }}{{ end }}`, "-17 7 012"},
		{"len", `{{ len "äb" }} {{ len . }} {{ len (split "," .API_TOKENS) }} {{ len (fromJson "{}") }}`, "3 13 3 0"},
		{"index", `{{ index . "my-key" }} {{ index (split "," .API_TOKENS) 1 }} {{ index (fromJson .OAUTH) "client" "scopes" 0 }}`, "dashed two read"},
		{"split", `{{ range $i, $part := split "," .API_TOKENS }}{{ $i }}{{ $part }} {{ end }}{{ range split "," "" }}none{{ end }}`, "0one 1two 2three "},
		{"join", `{{ split "," .API_TOKENS | join " | " }} {{ join "-" (fromJson "[1, \"b\", true]") }}`, "one | two | three 1-b-true"},
		{"fromJson", `{{ with fromJson .OAUTH }}{{ .client.id }} {{ .ttl }} {{ .rate }} {{ .serial }} {{ .on }}{{ end }}`, "web 3600 1.50 12345678901234567890 true"},
		{"toJson", `{{ toJson (fromJson .OAUTH) }} {{ toJson "<a&b>" }} {{ toJson 1 }}`, `{"client":{"id":"web","scopes":["read","write"]},"gone":null,"on":true,"rate":1.50,"serial":12345678901234567890,"ttl":3600} "<a&b>" 1`},
		{"lower", `{{ lower "ÄB c" }}`, "äb c"},
		{"upper", `{{ upper "äb c" }}`, "ÄB C"},
		{"trim", `[{{ trim .URL_SUFFIX }}]`, "[https://shop.example/api/]"},
		{"trimPrefix", `{{ trim .URL_SUFFIX | trimPrefix "https://" }} {{ trimPrefix "x" "y" }}`, "shop.example/api/ y"},
		{"trimSuffix", `{{ trim .URL_SUFFIX | trimSuffix "/" }}`, "https://shop.example/api"},
		{"hasPrefix", `{{ hasPrefix "db" .DB_HOST }} {{ hasPrefix "x" .DB_HOST }}`, "true false"},
		{"hasSuffix", `{{ hasSuffix "internal" .DB_HOST }} {{ hasSuffix "x" .DB_HOST }}`, "true false"},
		{"contains", `{{ contains "two" .API_TOKENS }} {{ contains "four" .API_TOKENS }}`, "true false"},
		{"replace", `{{ .API_TOKENS | replace "," ", " }}`, "one, two, three"},
		{"indent", `{{ indent 2 "a\nb" }}`, "  a\n  b"},
		{"nindent", `{{ nindent 2 "a\nb" }}`, "\n  a\n  b"},
		{"print", `{{ print "a" 1 2 "b" true }} {{ print .DB_USER "@" .DB_HOST }}`, "a1 2btrue shop@db.internal"},
		{"printf", `{{ printf "%s|%6v|%-4d|%05d|%x|%q|%t|%.2s|%%" "a" "b" 3 4 "hi" "q" true "long" }} {{ printf "%d %s %v" (int .DB_PORT) 7 false }}`, `a|     b|3   |00004|6869|"q"|true|lo|% 5432 7 false`},
		{"quote", `{{ quote .GREETING }} {{ quote 1 }} {{ quote "a\nb<" }}`, `"it's \"fine\"" "1" "a\nb<"`},
		{"squote", `{{ squote .GREETING }}`, `'it'\''s "fine"'`},
		{"urlquery", `{{ urlquery "a b+c/ä" }}`, "a%20b%2Bc%2F%C3%A4"},
		{"b64enc", `{{ b64enc "a?>" }}`, "YT8+"},
		{"b64dec", `{{ b64dec "YT8+\n" }}`, "a?>"},
		{"sha256", `{{ sha256 "abc" }}`, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
	}
	var tested []string
	for _, test := range tests {
		tested = append(tested, test.function)
		t.Run(test.function, func(t *testing.T) {
			if got := render(t, test.text); got != test.want {
				t.Errorf("%s:\n got %q\nwant %q", test.text, got, test.want)
			}
		})
	}
	var listed []string
	for _, f := range template.Functions() {
		listed = append(listed, f.Name)
		if !strings.HasPrefix(f.Usage, f.Name+" ") || !strings.HasSuffix(f.Doc, ".") {
			t.Errorf("%s is not documented: %q, %q", f.Name, f.Usage, f.Doc)
		}
	}
	if !slices.IsSorted(listed) {
		t.Errorf("not sorted: %v", listed)
	}
	slices.Sort(tested)
	if diff := cmp.Diff(listed, tested); diff != "" {
		t.Errorf("functions (-listed +tested):\n%s", diff)
	}
}

func TestTheLanguageIsThatOfTextTemplate(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"white space", "a {{- 1 -}} b {{/* nothing */}}c", "a1b c"},
		{"else if", `{{ if .EMPTY }}1{{ else if .DB_USER }}2{{ else }}3{{ end }}`, "2"},
		{"with and else with", `{{ with .EMPTY }}1{{ else with .DB_USER }}{{ . }}{{ end }}`, "shop"},
		{"the set within range", `{{ range split "," .API_TOKENS }}{{ $.DB_USER }}{{ . }} {{ end }}`, "shopone shoptwo shopthree "},
		{"range with else", `{{ range $x := split "," .EMPTY }}{{ $x }}{{ else }}{{ len $x }}{{ end }}`, "0"},
		{"range over nothing", `{{ range fromJson "null" }}1{{ else }}2{{ end }}{{ range 0 }}1{{ else }}3{{ end }}`, "23"},
		{"break and continue", `{{ range $i := 9 }}{{ if eq $i 1 }}{{ continue }}{{ end }}{{ if gt $i 3 }}{{ break }}{{ end }}{{ $i }}{{ end }}`, "023"},
		{"a variable of an outer block", `{{ $all := "" }}{{ range $k, $v := fromJson "{\"b\": 2, \"a\": 1}" }}{{ $all = print $all $k $v }}{{ end }}{{ $all }}`, "a1b2"},
		{"a range that assigns", `{{ $x := "" }}{{ range $x = split "," .API_TOKENS }}{{ end }}{{ $x }}`, "three"},
		{"a variable that is hidden", `{{ $x := 1 }}{{ if true }}{{ $x := 2 }}{{ $x }}{{ end }}{{ $x }}`, "21"},
		{"a block", `{{ block "b" .DB_USER }}<{{ . }}>{{ end }}{{ template "b" 1 }}`, "<shop><1>"},
		{"a template without an argument", `{{ define "t" }}{{ secret "DB_USER" }}{{ if not . }}!{{ end }}{{ end }}{{ template "t" }}`, "shop!"},
		{"numbers", `{{ 0x10 }} {{ -3 }} {{ 'a' }} {{ 1_000 }}`, "16 -3 97 1000"},
		{"a raw text", "{{ `a\\n` }}", `a\n`},
		{"fields of a call", `{{ (fromJson .OAUTH).client.id }}{{ $o := fromJson .OAUTH }}{{ $o.client.id }}`, "webweb"},
		{"a name with percent signs", `{{ define "%d%s" }}x{{ end }}{{ template "%d%s" }}`, "x"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := render(t, test.text); got != test.want {
				t.Errorf("%s:\n got %q\nwant %q", test.text, got, test.want)
			}
			if theirs, ok := reference(test.text, shop(), false); ok && theirs != test.want {
				t.Errorf("%s:\ntext/template has %q\nwant %q", test.text, theirs, test.want)
			}
		})
	}
}

func TestOtherDelimitersLeaveBracesAlone(t *testing.T) {
	parsed, err := template.Parse("t", `{{ .Values.x }} <% .DB_USER %>`, "<%", "%>")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := parsed.Execute(shop(), false, 100); err != nil || string(got) != "{{ .Values.x }} shop" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAKeyThatIsNotThereIsEmptyWhereThatIsWished(t *testing.T) {
	parsed, err := template.Parse("t", `[{{ .A }}|{{ secret "B" | upper }}|{{ index . "C" }}|{{ (fromJson "{}").d.e }}|{{ $.F.G }}|{{ if .H }}h{{ end }}]`, "", "")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := parsed.Execute(nil, true, 100); err != nil || string(got) != "[|||||]" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestATemplateServesSeveralAtOnce(t *testing.T) {
	parsed, err := template.Parse("t", `{{ define "t" }}{{ $x := . }}{{ $x | quote }}{{ end }}{{ range . }}{{ template "t" . }}{{ end }}`, "", "")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			value := strconv.Itoa(i)
			if got, err := parsed.Execute(map[string]string{"A": value}, false, 100); err != nil || string(got) != `"`+value+`"` {
				t.Errorf("%s: %s, %v", value, got, err)
			}
		})
	}
	group.Wait()
}

func TestAShellReadsWhatSquoteWrote(t *testing.T) {
	for _, value := range []string{"", "'", `a'b"c\d$(exit 3)` + "\n`e`", "''", "-n"} {
		parsed, err := template.Parse("t", `printf %s {{ squote .V }}`, "", "")
		if err != nil {
			t.Fatal(err)
		}
		script, err := parsed.Execute(map[string]string{"V": value}, false, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := exec.Command("sh", "-c", string(script)).Output(); err != nil || string(got) != value {
			t.Errorf("%q became %q, %v", value, got, err)
		}
	}
}

func BenchmarkFiftyKeys(b *testing.B) {
	secrets := map[string]string{}
	var text strings.Builder
	for i := range 50 {
		key := "KEY_" + strings.Repeat("X", i)
		secrets[key] = strings.Repeat("value ", 20)
		text.WriteString(key + ": {{ ." + key + " | trim | quote }}\n")
	}
	parsed, err := template.Parse("t", text.String(), "", "")
	if err != nil {
		b.Fatal(err)
	}
	b.Run("Parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := template.Parse("t", text.String(), "", ""); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Execute", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := parsed.Execute(secrets, false, 1<<20); err != nil {
				b.Fatal(err)
			}
		}
	})
}
