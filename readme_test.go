package kms_test

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hanzoai/kms/agent/config"
)

// codeBlocks are the fenced blocks of a Markdown text in one language.
func codeBlocks(text, language string) (blocks []string) {
	for _, m := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(text, -1) {
		blocks = append(blocks, m[1])
	}
	return blocks
}

func TestTheReadmesAgentConfigurationIsOne(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := codeBlocks(string(readme), "json")
	if len(blocks) != 1 {
		t.Fatalf("README.md has %d JSON blocks, want the agent's configuration alone", len(blocks))
	}
	parsed, err := config.Parse([]byte(blocks[0]))
	if err != nil {
		t.Fatal(err)
	}
	if parsed.Sources[0].Project != "shop" || parsed.Notify == nil {
		t.Errorf("it is read as %+v", parsed)
	}
}

// program matches what a text has a reader type: a program of ours with its
// flags, up to the end of the line or of the code span.
var program = regexp.MustCompile("\\b(kms-server|kms-agent|kms-injector)((?: [^\n`|#>]*)?)")

// flagName matches a flag in such a line, or a flag alone in a code span.
var (
	flagName  = regexp.MustCompile(`(?:^|\s)-([a-z][a-z-]*)`)
	loneFlag  = regexp.MustCompile("`-([a-z][a-z-]*)`")
	makeTyped = regexp.MustCompile("(?m)(?:^|`)make ([a-z0-9-]+)")
)

// commandsOf are the first words of a program's usage: its commands.
var commandsOf = map[string][]string{
	"kms-server":   {"keygen", "rewrap", "rotate-keys", "audit verify"},
	"kms-agent":    {"run", "init", "exec", "health", "install", "config"},
	"kms-injector": {"serve", "render", "version"},
}

func TestWhatTheDocumentsHaveAReaderTypeExists(t *testing.T) {
	manuals := manualsOf(t)
	targets, err := makeTargets(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"README.md", "docs/server.md", "docs/agent.md", "docs/injection.md", "SECURITY.md", "CONTRIBUTING.md"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, problem := range typedProblems(string(text), manuals, targets) {
			t.Errorf("%s: %s", name, problem)
		}
	}
	for _, wrong := range []string{"`kms-server -dat DIR`", "`kms-server keygne`", "`-tls-certificate`", "`make demmo`", "kms-agent run -confg x\n", "kms-injector render -fil x\n", "`kms-injector serv`"} {
		if len(typedProblems(wrong, manuals, targets)) == 0 {
			t.Errorf("nothing is found wrong with %s", wrong)
		}
	}
}

// manualsOf is what each program prints for -h.
func manualsOf(t *testing.T) map[string]string {
	t.Helper()
	manuals := map[string]string{}
	for program, about := range map[string]struct {
		source string
		with   []string // commands that have flags
	}{
		"kms-server":   {"./server", nil},
		"kms-agent":    {"./agent", []string{"run", "init", "exec"}},
		"kms-injector": {"./injector", []string{"serve", "render"}},
	} {
		binary := buildProgram(t, program, about.source)
		for _, command := range append([]string{""}, about.with...) {
			args := append(strings.Fields(command), "-h")
			out, err := exec.Command(binary, args...).Output()
			if err != nil {
				t.Fatalf("%s %q: %v", program, args, err)
			}
			manuals[program] += string(out)
		}
	}
	return manuals
}

func typedProblems(text string, manuals map[string]string, targets map[string]bool) (problems []string) {
	has := func(program, flag string) bool {
		return flag == "h" || regexp.MustCompile(`(?m)^\s+-`+flag+`\b`).MatchString(manuals[program])
	}
	for _, m := range program.FindAllStringSubmatch(text, -1) {
		line := strings.TrimSpace(m[2])
		for _, flag := range flagName.FindAllStringSubmatch(line, -1) {
			if !has(m[1], flag[1]) {
				problems = append(problems, fmt.Sprintf("%s has no flag -%s", m[1], flag[1]))
			}
		}
		// In a code span or block a word after the program is a command of it.
		if strings.Contains(text, "`"+m[0]) && line != "" && line[0] >= 'a' && line[0] <= 'z' &&
			!slices.ContainsFunc(commandsOf[m[1]], func(c string) bool { return strings.HasPrefix(line, c) && strings.Contains(manuals[m[1]], c) }) {
			problems = append(problems, fmt.Sprintf("%s has no command %q", m[1], line))
		}
	}
	for _, m := range loneFlag.FindAllStringSubmatch(text, -1) {
		if !has("kms-server", m[1]) && !has("kms-agent", m[1]) && !has("kms-injector", m[1]) && m[1] != "race" {
			problems = append(problems, "no program has a flag -"+m[1])
		}
	}
	for _, m := range makeTyped.FindAllStringSubmatch(text, -1) {
		if !targets[m[1]] {
			problems = append(problems, "there is no make "+m[1])
		}
	}
	return problems
}
