package workflow_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestStandardsWorkflowRunsVerbatim(t *testing.T) {
	w, _ := readWorkflow(t, "deploy.yml")
	kib64 := strings.Repeat("0123456789abcde/", 4096)
	for _, test := range []struct{ name, value string }{
		{"plain", "dckr_pat_123"},
		{"spaces, one at each place", " a b c "},
		{"quotes", `"a" 'b' ` + "`c`"},
		{"dollars", "$HOME ${HOME} $(id) $$"},
		{"backslashes", `\ \\ \n \u0041 C:\new`},
		{"stars and brackets inside words", "a*b?c[d]{e,f}~"},
		{"a tab", "a\tb"},
		{"Unicode", "ü ß 漢字 🔑 \u2028 \u00a0 e\u0301"},
		{"what shells take for syntax", "a;b|c&d>e<f #g !h"},
		{"an equals sign and a heredoc", "x=y<<EOF"},
		{"a dash first", "-n -e"},
		{"percent", "100% %20"},
		{"empty", ""},
		{"64 KiB", kib64},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRunner(t, repository(t, "DOCKERHUB_USERNAME", "hanzo", "DOCKERHUB_TOKEN", test.value, "OTHER", "not asked for"))
			files(t, r.dir, "Makefile", "README.md")
			if err := r.run(t, w); err != nil {
				t.Fatalf("%v; it printed %q", err, r.log)
			}
			if diff := cmp.Diff(map[string]string{"DOCKERHUB_USERNAME": "hanzo", "DOCKERHUB_TOKEN": test.value}, r.env); diff != "" {
				t.Errorf("GITHUB_ENV (-want +got):\n%s", diff)
			}
			expectOnlyMasks(t, r, 2)
			expectToken(t, r, "kms-auth")
			if calls := r.requests(t); len(calls) != 2 {
				t.Errorf("it called curl %d times, want 2", len(calls))
			}
		})
	}
}

// What the snippet does to these is its own doing: the server's answer is the
// same JSON for all. The list is the one at the top of deploy.yml.
func TestStandardsWorkflowCannotCarryTheseValues(t *testing.T) {
	w, _ := readWorkflow(t, "deploy.yml")
	for _, test := range []struct{ name, value, becomes, fails string }{
		{name: "two spaces in a row", value: "a  b", becomes: "a b"},
		{name: "a star between spaces", value: "a * b", becomes: "a Makefile README.md b"},
		{name: "line breaks at the end", value: "a\n\n", becomes: "a"},
		{name: "a line break inside", value: "a\nb", fails: "invalid format"},
		{name: "a line break and an assignment", value: "a\nPATH=b", becomes: "a"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRunner(t, repository(t, "DOCKERHUB_USERNAME", "hanzo", "DOCKERHUB_TOKEN", test.value))
			files(t, r.dir, "Makefile", "README.md")
			err := r.run(t, w)
			if test.fails != "" {
				if err == nil || !strings.Contains(err.Error(), test.fails) {
					t.Errorf("got %v, want an error with %q", err, test.fails)
				}
				return
			}
			if got := r.env["DOCKERHUB_TOKEN"]; err != nil || got != test.becomes {
				t.Errorf("it became %q, %v; want %q", got, err, test.becomes)
			}
		})
	}
}

func files(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// expectOnlyMasks wants the log to consist of so many masks and nothing else.
func expectOnlyMasks(t *testing.T, r *runner, count int) {
	t.Helper()
	want := strings.Split(strings.Repeat("::add-mask::***\n", count), "\n")[:count]
	if diff := cmp.Diff(want, r.log); diff != "" {
		t.Errorf("the log (-want +got):\n%s", diff)
	}
}

// expectToken wants a step to have handed on an access token, masked.
func expectToken(t *testing.T, r *runner, step string) {
	t.Helper()
	token := r.context["steps."+step+".outputs.token"]
	if strings.Count(token, ".") != 2 {
		t.Errorf("GITHUB_OUTPUT holds no token: %d bytes", len(token))
	}
	for _, mask := range r.masks {
		if mask == token {
			return
		}
	}
	t.Error("the token is not masked")
}
