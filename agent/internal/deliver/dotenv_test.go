package deliver_test

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"os"

	"github.com/google/go-cmp/cmp"
	"github.com/hanzoai/kms/agent/config"
	"github.com/hanzoai/kms/agent/internal/deliver"
	"github.com/hanzoai/kms/sdk"
)

// dotenv renders one key.
func dotenv(key, value string) (string, error) {
	files, err := deliver.Render(config.Config{Files: new(false), Dotenv: ".env"},
		[]deliver.Source{{Secrets: []sdk.Secret{{SecretKey: key, SecretValue: value}}}})
	if err != nil {
		return "", err
	}
	return string(files[0].Data), nil
}

var awkward = []string{
	"", "plain", "postgres://u:p@h:5432/db?sslmode=require", "two words", " around ", `it's`, `say "hi"`, `it's "both"`,
	`$HOME and ${X}`, `it's $HOME`, "`id`", "it's `id`", `back\slash`, `it's back\slash\`, `\`, "'", `"`, "line\nbreak\n", "it's\na \"line\" $x",
	"tab\t", "cr\r\n", "#comment", "a=b", "!history", "ünïcödé ☃ 🔑", "a;b&c|d>e<f(g)", "~", "*", "-----BEGIN KEY-----\nMIIE\n-----END KEY-----\n",
}

func TestDotenvHasThePlainestForm(t *testing.T) {
	tests := map[string]string{
		"":                   "K=\n",
		"https://h:1/a,b@c%": "K=https://h:1/a,b@c%\n",
		`two $words`:         "K='two $words'\n",
		"line\nbreak":        "K='line\nbreak'\n",
		`it's`:               "K=\"it's\"\n",
		`it's "$5" \`:        "K=\"it's \\\"\\$5\\\" \\\\\"\n",
	}
	for value, want := range tests {
		got, err := dotenv("K", value)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestAShellThatSourcesTheDotenvFileGetsEachValue(t *testing.T) {
	for _, value := range awkward {
		text, err := dotenv("KEY", value)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "env")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := exec.Command("sh", "-c", `. "$1"; printf %s "$KEY"`, "sh", file).Output()
		if err != nil || string(got) != value {
			t.Errorf("the shell got %q, %v, want %q", got, err, value)
		}
	}
}

func TestAKeyThatIsNoVariableIsNamed(t *testing.T) {
	for _, key := range []string{"1ST", "a-b", "a.b", "A B", ""} {
		_, err := dotenv(key, "canary")
		if deliver.ReasonOf(err) != deliver.BadConfig || !strings.Contains(fmt.Sprint(err), fmt.Sprintf("%q", key)) || strings.Contains(fmt.Sprint(err), "canary") {
			t.Errorf("key %q: %v", key, err)
		}
	}
	if _, err := dotenv("K", "a\x00b"); deliver.ReasonOf(err) != deliver.BadConfig {
		t.Errorf("a zero byte: %v", err)
	}
}

func FuzzDotenv(f *testing.F) {
	for _, value := range awkward {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		text, err := dotenv("KEY", value)
		if err != nil {
			if !strings.Contains(value, "\x00") {
				t.Fatal(err)
			}
			return
		}
		got, err := parseDotenv(text)
		if err != nil || got["KEY"] != value || len(got) != 1 {
			t.Errorf("%q became %q, which is read as %q, %v", value, text, got, err)
		}
	})
}

// parseDotenv reads KEY=value lines as a shell does.
func parseDotenv(text string) (map[string]string, error) {
	values := map[string]string{}
	for text != "" {
		key, rest, found := strings.Cut(text, "=")
		if !found {
			return nil, errors.New("a line without =")
		}
		value, rest, err := parseWord(rest)
		if err != nil {
			return nil, err
		}
		values[key] = value
		text = rest
	}
	return values, nil
}

// parseWord reads a value up to the end of its line.
func parseWord(s string) (value, rest string, err error) {
	var word strings.Builder
	quote := byte(0)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quote == 0 && c == '\n':
			return word.String(), s[i+1:], nil
		case quote == 0 && (c == '\'' || c == '"'):
			quote = c
		case c == quote && quote != 0:
			quote = 0
		case quote == '"' && c == '\\' && i+1 < len(s) && strings.IndexByte("\\\"$`", s[i+1]) >= 0:
			i++
			word.WriteByte(s[i])
		case quote == '"' && (c == '$' || c == '`'), quote == 0 && strings.IndexByte(" \t\r;&|<>()$`\\#*?~!", c) >= 0:
			return "", "", errors.New("an expansion")
		default:
			word.WriteByte(c)
		}
	}
	return "", "", errors.New("no end")
}
