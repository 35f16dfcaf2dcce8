package kms_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hanzoai/kms/internal/markers"
)

const injectionPage = "docs/injection.md"

func TestThePageOfTheInjectorShowsWhatItDoes(t *testing.T) {
	page, err := os.ReadFile(injectionPage)
	if err != nil {
		t.Fatal(err)
	}
	injector := buildProgram(t, "kms-injector", "./injector")
	t.Run("its flags", func(t *testing.T) { checkFlags(t, injector, string(page)) })
	t.Run("a pod", func(t *testing.T) { checkPod(t, injector, string(page)) })
	t.Run("the pod of the README", func(t *testing.T) { checkReadmesPod(t, injector) })
}

func checkFlags(t *testing.T, injector, page string) {
	t.Helper()
	manual, err := exec.Command(injector, "serve", "-h").Output()
	if err != nil {
		t.Fatal(err)
	}
	want, err := markers.Fill([]byte(page), map[string]string{"flags": flagTable(t, string(manual))})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(page, "\n")); diff != "" {
		t.Errorf("%s (-want +got):\n%s", injectionPage, diff)
	}
}

var flagInManual = regexp.MustCompile(`(?m)^  -(\S+) ?(.*)\n        (.*)\n        \(default (.*), environment KMS_\w+\)$`)

// flagTable is the manual of a program as a table for a page. A version in it
// is that of the build.
func flagTable(t *testing.T, manual string) string {
	t.Helper()
	table := "| flag | default | |\n| --- | --- | --- |\n"
	flags := flagInManual.FindAllStringSubmatch(manual, -1)
	if len(flags) < 10 {
		t.Fatalf("the manual has %d flags: the test reads it wrongly", len(flags))
	}
	for _, f := range flags {
		name, standard := strings.TrimSpace("-"+f[1]+" "+f[2]), strings.Trim(f[4], `"`)
		switch {
		case standard == "none":
			standard = ""
		case f[1] == "image":
			standard = "`ghcr.io/hanzoai/kms-agent`, of its own version"
		default:
			standard = "`" + standard + "`"
		}
		table += strings.Join(strings.Fields(fmt.Sprintf("| `%s` | %s | %s |", name, standard, f[3])), " ") + "\n"
	}
	return table
}

// checkPod: what the page shows of an injection is what the command prints, in
// its order, with less around it.
func checkPod(t *testing.T, injector, page string) {
	t.Helper()
	command := regexp.MustCompile("(?m)^kms-injector (render .* -f (examples/.*))$").FindStringSubmatch(page)
	blocks := codeBlocks(page, "yaml")
	if command == nil || len(blocks) != 2 {
		t.Fatalf("%s has the command %q and %d YAML blocks, want one before and one after", injectionPage, command, len(blocks))
	}
	example, err := os.ReadFile(command[2])
	if err != nil {
		t.Fatal(err)
	}
	rendered, err := exec.Command(injector, strings.Fields(command[1])...).Output()
	if err != nil {
		t.Fatal(err)
	}
	for block, whole := range map[string]string{blocks[0]: string(example), blocks[1]: string(rendered)} {
		if missing := firstMissing(block, whole); missing != "" {
			t.Errorf("%s shows, where it does not follow: %s", injectionPage, missing)
		}
	}
	if firstMissing("b\na\n", "a\nb\n") == "" {
		t.Error("nothing is found wrong with lines in another order")
	}
}

// checkReadmesPod: whoever copies it gets its secrets, and no warning.
func checkReadmesPod(t *testing.T, injector string) {
	t.Helper()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := codeBlocks(string(readme), "yaml")
	if len(blocks) != 1 {
		t.Fatalf("README.md has %d YAML blocks, want the pod alone", len(blocks))
	}
	render := exec.Command(injector, "render")
	render.Stdin = strings.NewReader(blocks[0])
	out, err := render.CombinedOutput()
	if text := string(out); err != nil || !strings.Contains(text, "name: kms-agent\n") || strings.Contains(text, "warning:") {
		t.Errorf("%v\n%s", err, text)
	}
}

// firstMissing is the first line of the block that the whole does not have
// after the one before, "" for none. What follows "# ..." was cut off.
func firstMissing(block, whole string) string {
	for line := range strings.Lines(block) {
		shown, _, cut := strings.Cut(strings.TrimRight(line, "\n"), "# ...")
		if strings.TrimSpace(shown) == "" {
			continue
		}
		text := "\n" + strings.TrimRight(shown, " ")
		if !cut {
			text += "\n"
		}
		_, rest, found := strings.Cut("\n"+whole, text)
		if !found {
			return shown
		}
		whole = rest
	}
	return ""
}

func buildProgram(t *testing.T, name, source string) (binary string) {
	t.Helper()
	binary = filepath.Join(t.TempDir(), name)
	if out, err := exec.Command("go", "build", "-o", binary, source).CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", source, err, out)
	}
	return binary
}
