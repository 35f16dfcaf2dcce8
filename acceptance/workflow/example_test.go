package workflow_test

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const examplePath = "../../examples/ci/github-actions.yml"

func TestExampleWorkflowCarriesEveryValue(t *testing.T) {
	w, _ := readWorkflow(t, examplePath)
	kib64 := strings.Repeat("0123456789abcde/", 4096)
	for _, test := range []struct{ name, value string }{
		{"plain", "dckr_pat_123"},
		{"empty", ""},
		{"spaces", "  a  b  "},
		{"stars and brackets", "* a * ? [a] {b,c} ~"},
		{"quotes", `"a" 'b' ` + "`c`"},
		{"dollars", "$HOME ${HOME} $(id) $$"},
		{"backslashes", `\ \\ \n \u0041 C:\new \`},
		{"Unicode", "ü ß 漢字 🔑 \u2028 \ufeff e\u0301"},
		{"control characters", "a\tb\x01\x1b[31m\x7f"},
		{"a dash first", "-n"},
		{"percent", "100% %25 %0A %0D %"},
		{"one line break", "\n"},
		{"lines", "-----BEGIN KEY-----\nabc\n\ndef\n-----END KEY-----\n"},
		{"line breaks at both ends", "\n\na\n\n"},
		{"carriage returns", "a\r\nb\r"},
		{"lines that look like delimiters", "EOF\nX<<EOF\nEOF\nkms_\nPATH=/tmp"},
		{"a command to the runner", "a\n::set-output name=x::y\n::stop-commands::z"},
		{"64 KiB", kib64},
		{"64 KiB of line breaks", strings.Repeat("\n", 1<<16)},
		{"64 KiB of percent signs", strings.Repeat("%", 1<<16)},
		{"64 KiB of quotes", strings.Repeat(`"`, 1<<16)},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRunner(t, repository(t, "DOCKERHUB_USERNAME", "hanzo", "DOCKERHUB_TOKEN", test.value, "OTHER", "not asked for"))
			files(t, r.dir, "Makefile")
			if err := r.run(t, w); err != nil {
				t.Fatalf("%v; it printed %q", err, r.log)
			}
			if diff := cmp.Diff(map[string]string{"DOCKERHUB_USERNAME": "hanzo", "DOCKERHUB_TOKEN": test.value}, r.env); diff != "" {
				t.Errorf("GITHUB_ENV (-want +got):\n%s", diff)
			}
			used, err := os.ReadFile(filepath.Join(r.dir, "used"))
			if err != nil || string(used) != "login|--username|hanzo|--password-stdin|"+test.value {
				t.Errorf("docker login got %q, %v", used, err)
			}
			masks := 3 // of the token and the two secrets
			if test.value == "" {
				masks--
			}
			expectOnlyMasks(t, r, masks)
			if test.value != "" && !slices.Contains(r.masks, test.value) {
				t.Error("the value is not masked as a whole")
			}
			expectToken(t, r, "kms")
		})
	}
}

// Two requests and what GitHub stores are all it takes: no certificate of its
// own, and nothing secret where other processes can see it.
func TestExampleWorkflowNeedsTwoValuesAndTwoRequests(t *testing.T) {
	w, text := readWorkflow(t, examplePath)
	c := repository(t, "DOCKERHUB_USERNAME", "hanzo", "DOCKERHUB_TOKEN", "dckr_pat_123")
	r := newRunner(t, c)
	if err := r.run(t, w); err != nil {
		t.Fatal(err)
	}

	stored := regexp.MustCompile(`secrets\.[A-Z_]+`).FindAllString(text, -1)
	slices.Sort(stored)
	if diff := cmp.Diff([]string{"secrets.KMS_CLIENT_ID", "secrets.KMS_CLIENT_SECRET"}, slices.Compact(stored)); diff != "" {
		t.Errorf("what GitHub has to store (-want +got):\n%s", diff)
	}
	calls := r.requests(t)
	if len(calls) != 2 {
		t.Errorf("it sent %d requests, want a login and a list", len(calls))
	}
	token := r.context["steps.kms.outputs.token"]
	for _, arguments := range calls {
		if strings.Contains(arguments, c.secret) || strings.Contains(arguments, token) {
			t.Error("a credential is among curl's arguments")
		}
		if regexp.MustCompile(`(^| )(-k|--insecure|-E|--cert|--key)( |$)`).MatchString(arguments) {
			t.Errorf("curl was called with %s", arguments)
		}
	}
}

func TestPipelineHoldsATokenForTwoHoursAtMost(t *testing.T) {
	w, _ := readWorkflow(t, examplePath)
	r := newRunner(t, repository(t, "DOCKERHUB_USERNAME", "hanzo", "DOCKERHUB_TOKEN", "dckr_pat_123"))
	if err := r.run(t, w); err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(r.context["steps.kms.outputs.token"], ".")
	if len(parts) != 3 {
		t.Fatalf("the token has %d parts, want 3", len(parts))
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims struct{ Iat, Exp int64 }
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	if life := time.Duration(claims.Exp-claims.Iat) * time.Second; life <= 0 || life > 2*time.Hour {
		t.Errorf("the token lives for %s", life)
	}
}

// The standard's steps go on with empty values; these stop and say why.
func TestExampleWorkflowStopsWhereTheStandardsGoesOn(t *testing.T) {
	w, text := readWorkflow(t, examplePath)
	for _, test := range []struct {
		name, old, new string // a change to the workflow
		says           string
	}{
		{"a secret that is missing", "NAMES: DOCKERHUB_USERNAME", "NAMES: NO_SUCH_KEY DOCKERHUB_USERNAME", "there is no secret NO_SUCH_KEY"},
		{"a wrong client secret", "${{ secrets.KMS_CLIENT_SECRET }}", "st.wrong", "Invalid credentials"},
		{"another project", "workspaceSlug=my-service", "workspaceSlug=no-such-project", "not found"},
		{"a token that does not hold", "${{ steps.kms.outputs.token }}", "none", "oken"},
		{"a server that is not there", "https://kms.hanzo.ai", "https://127.0.0.1:1", "curl"},
	} {
		t.Run(test.name, func(t *testing.T) {
			changed := filepath.Join(t.TempDir(), "workflow.yml")
			if err := os.WriteFile(changed, []byte(strings.ReplaceAll(text, test.old, test.new)), 0o600); err != nil {
				t.Fatal(err)
			}
			if w, _ = readWorkflow(t, changed); !strings.Contains(text, test.old) {
				t.Fatalf("the workflow has no %q to change", test.old)
			}
			r := newRunner(t, repository(t, "DOCKERHUB_USERNAME", "hanzo", "DOCKERHUB_TOKEN", "dckr_pat_123"))
			err := r.run(t, w)
			log := strings.Join(r.log, "\n")
			if err == nil || !strings.Contains(log, test.says) || len(r.env) > 0 {
				t.Errorf("got %v and %d variables, want an error; it printed %q, want something with %q", err, len(r.env), log, test.says)
			}
			if strings.Contains(log, "dckr_pat_123") {
				t.Error("the log holds a secret")
			}
		})
	}
}
