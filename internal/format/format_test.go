package format_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/internal/format"
)

// form is one form of a file, with a reader in Go, which is always there, and
// the programs that read it, of which some may not be installed.
type form struct {
	write     writer
	read      func(text string) (map[string]string, error)
	programs  []program
	variables bool // its keys are names of variables, its values any bytes but NUL
}

type writer func([]format.Pair) ([]byte, error)

var forms = map[string]form{
	"dotenv":      {format.Dotenv, readVariables, shells("set -a"), true},
	"shell":       {format.Shell, readVariables, shells("set -eu"), true},
	"environment": {environment, readEnvironment, nil, true},
	"json":        {format.JSON, readJSON, []program{jq}, false},
	"yaml":        {format.YAML, readYAML, []program{python}, false},
	"properties":  {format.Properties, readProperties, []program{java}, false},
}

// awkward are values and keys that some reader takes for something else.
var awkward = []string{
	"", "plain", "postgres://u:p@h:5432/db?sslmode=require", "two words", " around ", "\ttabs\t", `it's`, `say "hi"`, `it's "both"`, "''", `'"'"'`,
	`$HOME and ${X}`, `it's $HOME`, "`id`", "it's `id`", "$(id)", `back\slash`, `it's back\slash\`, `\`, `\n`, `\u0041`, "'", `"`,
	"line\nbreak\n", "it's\na \"line\" $x", "\n", "\n\nlines\n\n\n", "cr\r\n", "\r", "-----BEGIN KEY-----\nMIIE\n-----END KEY-----\n",
	"#comment", "a #comment", "!history", "it's !history", "a=b", "=", ":", "a: b", "a;b&c|d>e<f(g)", "~", "~/x", "*", "?", "-n", "-", "--", "- a", "{{.X}}", "{a,b}", "</script>&",
	"no", "yes", "ON", "y", "true", "null", "NULL", "1e3", "0x1F", "0o17", "017", "1_000", "12:30:45", ".inf", ".NaN", "2001-01-01", "2001-12-14t21:59:43.10-05:00",
	"!!int 3", "&a", "*a", "| x", "> x", "---", "...", "--- x", "[1]", "{a: 1}", "%YAML 1.1", "@x", "? x", "<<", ",",
	"ünïcödé ☃ 🔑 𝄞", "e\u0301", "\u00a0", "\u0085", "a\u2028b\u2029c", "\ufeffmark", "\ufffd", "\ufffe\uffff", "\ue000", "\u202eright to left", "del\x7f", "esc\x1b[31m", "\x01\x08\v\f\x1f", "\u0080\u009f",
}

// Random values are made of these too: the first where a form has UTF-8, the
// others where it has any bytes but the first.
var (
	zero         = []string{"\x00"}
	awkwardBytes = []string{"\x80", "\x81", "\x85", "\x88", "\xc3", "\xe2\x80", "\xf0\x9f\x94", "\xfe", "\xff"}
)

// awkwardPairs are pairs that the form must hold: the awkward ones, then
// random ones, the same in each run.
func (f form) awkwardPairs() []format.Pair {
	pieces := append(awkwardBytes, awkward...)
	if !f.variables {
		pieces = append(zero, awkward...)
	}
	values, random := pieces, rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var value strings.Builder
		for range random.IntN(6) {
			value.WriteString(pieces[random.IntN(len(pieces))])
		}
		values = append(values, value.String())
	}
	pairs := f.pairs(values)
	if !f.variables { // with its quotes the longest that YAML has
		pairs = append(pairs, format.Pair{Key: strings.Repeat("k", 1022), Value: "value"})
	}
	return pairs
}

// pairs gives each value a key: where the form allows it, the value itself.
func (f form) pairs(values []string) (pairs []format.Pair) {
	seen := map[string]bool{}
	for i, value := range values {
		key := value
		if f.variables || seen[key] {
			key = fmt.Sprintf("KEY_%d", i)
		}
		seen[key] = true
		pairs = append(pairs, format.Pair{Key: key, Value: value})
	}
	return pairs
}

func TestEveryReaderGetsEveryValue(t *testing.T) {
	for name, form := range forms {
		pairs := form.awkwardPairs()
		text, err := form.write(pairs)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(name+"/Go", func(t *testing.T) {
			got, err := form.read(string(text))
			compare(t, pairs, got, err)
		})
		for _, program := range form.programs {
			t.Run(name+"/"+program.name, func(t *testing.T) {
				if !program.installed() {
					t.Logf("%s is not installed: the reader in Go is the only one", program.name)
					return
				}
				got, err := program.read(t, text)
				compare(t, pairs, got, err)
			})
		}
	}
}

func compare(t *testing.T, pairs []format.Pair, got map[string]string, err error) {
	t.Helper()
	want := map[string]string{}
	for _, p := range pairs {
		want[p.Key] = p.Value
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("read: %v (-written +read):\n%s", err, diff)
	}
}

func TestTheTextOfEachForm(t *testing.T) {
	pairs := []format.Pair{{"Z", `it's "<ü>"`}, {"A", "a\nb"}, {"MARK", "\ufeff🔑\x7f"}, {"EMPTY", ""}}
	for name, want := range map[string]string{
		"dotenv":      "Z=\"it's \\\"<ü>\\\"\"\nA='a\nb'\nMARK='\ufeff🔑\x7f'\nEMPTY=\n",
		"environment": "Z=it's \"<ü>\"\x00A=a\nb\x00MARK=\ufeff🔑\x7f\x00EMPTY=",
		"shell":       "export Z='it'\\''s \"<ü>\"'\nexport A='a\nb'\nexport MARK='\ufeff🔑\x7f'\nexport EMPTY=''\n",
		"json":        "{\n  \"Z\": \"it's \\\"<ü>\\\"\",\n  \"A\": \"a\\nb\",\n  \"MARK\": \"\\ufeff🔑\\u007f\",\n  \"EMPTY\": \"\"\n}\n",
		"yaml":        "\"Z\": \"it's \\\"<ü>\\\"\"\n\"A\": \"a\\nb\"\n\"MARK\": \"\\ufeff🔑\\u007f\"\n\"EMPTY\": \"\"\n",
		"properties":  "Z=it's \"<\\u00fc>\"\nA=a\\nb\nMARK=\\ufeff\\ud83d\\udd11\\u007f\nEMPTY=\n",
	} {
		t.Run(name, func(t *testing.T) {
			got, err := forms[name].write(pairs)
			if diff := cmp.Diff(want, string(got)); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestNoSecretsAreAnEmptyFile(t *testing.T) {
	for name, want := range map[string]string{"dotenv": "", "shell": "", "environment": "", "json": "{}\n", "yaml": "{}\n", "properties": ""} {
		got, err := forms[name].write(nil)
		if err != nil || string(got) != want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, want)
		}
	}
}

// environment is the strings of an environment as a file of /proc has them.
func environment(pairs []format.Pair) ([]byte, error) {
	environ, err := format.Environment(pairs)
	return []byte(strings.Join(environ, "\x00")), err
}

func TestWhatAFormCannotHoldIsRefusedByName(t *testing.T) {
	variables := []writer{format.Dotenv, format.Shell, environment}
	texts := []writer{format.JSON, format.YAML, format.Properties}
	for _, test := range []struct {
		name   string
		writes []writer
		pair   format.Pair
		want   string
	}{
		{"a digit first", variables, format.Pair{"1ST", "canary"}, `the key "1ST"`},
		{"a dash", variables, format.Pair{"a-b", "canary"}, `the key "a-b"`},
		{"a dot", variables, format.Pair{"a.b", "canary"}, `the key "a.b"`},
		{"a space", variables, format.Pair{"A B", "canary"}, `the key "A B"`},
		{"a line break", variables, format.Pair{"A\n", "canary"}, `the key "A\n"`},
		{"a letter that is not ASCII", variables, format.Pair{"Ä", "canary"}, `the key "Ä"`},
		{"no key", variables, format.Pair{"", "canary"}, `the key ""`},
		{"a zero byte", variables, format.Pair{"K", "canary\x00"}, `the value of "K"`},
		{"a key of other bytes", texts, format.Pair{"K\xff", "canary"}, `the key "K\xff"`},
		{"a value of other bytes", texts, format.Pair{"K", "canary\xff"}, `the value of "K"`},
		{"a surrogate", texts, format.Pair{"K", "canary\xed\xa0\x80"}, `the value of "K"`},
		{"a name given twice", append(variables, texts...), format.Pair{"TWICE", "canary"}, `the name "TWICE"`},
		{"a key that no reader of YAML finds", texts[1:2], format.Pair{strings.Repeat("k", 1023), "canary"}, `the key "kkk`},
		{"a value that no kernel takes", variables[2:], format.Pair{"K", strings.Repeat("canary", 1<<15)}, `the variable "K"`},
	} {
		for _, write := range test.writes {
			_, err := write([]format.Pair{{"TWICE", "canary"}, test.pair})
			message := fmt.Sprint(err)
			if !errors.Is(err, api.ErrInvalid) || !strings.Contains(message, test.want) || strings.Contains(message, "canary") {
				t.Errorf("%s: %v", test.name, err)
			}
		}
	}
}

func FuzzDotenv(f *testing.F)      { fuzz(f, forms["dotenv"]) }
func FuzzShell(f *testing.F)       { fuzz(f, forms["shell"]) }
func FuzzEnvironment(f *testing.F) { fuzz(f, forms["environment"]) }
func FuzzJSON(f *testing.F)        { fuzz(f, forms["json"]) }
func FuzzYAML(f *testing.F)        { fuzz(f, forms["yaml"]) }
func FuzzProperties(f *testing.F)  { fuzz(f, forms["properties"]) }

// fuzz writes two pairs, so that one that runs into the next is found.
func fuzz(f *testing.F, form form) {
	for _, value := range append(awkwardBytes, awkward...) {
		f.Add("KEY", value)
		f.Add(value, "value")
	}
	f.Fuzz(func(t *testing.T, key, value string) {
		if len(value) > 64<<10 {
			t.Skip("an environment takes no such value")
		}
		pairs := []format.Pair{{key, value}, {"LAST", value}}
		text, err := form.write(pairs)
		if form.mayRefuse(key, value) {
			if err == nil && len(key) < 100 {
				t.Errorf("%q: %q was not refused", key, value)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		got, err := form.read(string(text))
		compare(t, pairs, got, err)
	})
}

// mayRefuse is a second opinion on what the form cannot hold. A key of a
// hundred bytes may be too long once it is escaped.
func (f form) mayRefuse(key, value string) bool {
	if f.variables {
		return !variableName.MatchString(key) || key == "LAST" || strings.Contains(value, "\x00")
	}
	return !utf8.ValidString(key) || !utf8.ValidString(value) || key == "LAST" || len(key) >= 100
}
