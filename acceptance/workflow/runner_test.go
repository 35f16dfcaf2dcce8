package workflow_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// workflow is what the tests read of a workflow file.
type workflow struct {
	Defaults struct{ Run struct{ Shell string } }
	Jobs     struct{ Deploy struct{ Steps []step } }
}

type step struct {
	Name, ID, Run string
	Env           map[string]string
}

func readWorkflow(t *testing.T, name string) (workflow, string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var w workflow
	if err := yaml.Unmarshal(text, &w); err != nil {
		t.Fatalf("parse %s: %v", name, err)
	}
	if len(w.Jobs.Deploy.Steps) < 2 {
		t.Fatalf("%s has %d steps: the test reads it wrongly", name, len(w.Jobs.Deploy.Steps))
	}
	return w, string(text)
}

// runner does with a job what GitHub's runner does: it fills in expressions,
// runs the steps one by one, reads the files that they wrote, and masks what
// they printed.
type runner struct {
	dir     string            // the job's workspace
	context map[string]string // expressions and what they stand for
	env     map[string]string // what steps put into $GITHUB_ENV
	masks   []string
	log     []string // lines, masked
	calls   string   // the file in which the arguments of each curl are
}

// newRunner is a runner with the two secrets of a repository.
func newRunner(t *testing.T, c credentials) *runner {
	t.Helper()
	r := &runner{dir: t.TempDir(), env: map[string]string{}, masks: []string{c.id, c.secret},
		context: map[string]string{"secrets.KMS_CLIENT_ID": c.id, "secrets.KMS_CLIENT_SECRET": c.secret}}
	bin := t.TempDir()
	r.calls = filepath.Join(bin, "calls")
	curl, err := exec.LookPath("curl")
	if err != nil {
		t.Fatal(err)
	}
	r.program(t, bin, "curl", fmt.Sprintf("printf '%%s ' \"$@\" >>%q; echo >>%q\nexec %q \"$@\"", r.calls, r.calls, curl))
	r.program(t, bin, "docker", "printf '%s|' \"$@\" >used; cat >>used")
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	return r
}

func (r *runner) program(t *testing.T, dir, name, script string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
}

// run runs the steps until one fails.
func (r *runner) run(t *testing.T, w workflow) error {
	t.Helper()
	for _, s := range w.Jobs.Deploy.Steps {
		if err := r.step(t, s, w.Defaults.Run.Shell); err != nil {
			return fmt.Errorf("the step %q: %w", s.Name, err)
		}
	}
	return nil
}

// shells is how a runner calls the shell that a workflow asks for.
var shells = map[string][]string{
	"":     {"bash", "-e"},
	"bash": {"bash", "--noprofile", "--norc", "-eo", "pipefail"},
}

func (r *runner) step(t *testing.T, s step, shell string) error {
	t.Helper()
	files := t.TempDir()
	script, output, env := filepath.Join(files, "script.sh"), filepath.Join(files, "output"), filepath.Join(files, "env")
	for name, text := range map[string]string{script: r.fill(t, s.Run), output: "", env: ""} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	command := append(shells[shell], script)
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), "GITHUB_OUTPUT="+output, "GITHUB_ENV="+env)
	for name, value := range r.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	for name, value := range s.Env {
		cmd.Env = append(cmd.Env, name+"="+r.fill(t, value))
	}
	var printed bytes.Buffer
	cmd.Stdout, cmd.Stderr = &printed, &printed
	err := cmd.Run()
	r.print(printed.String())
	if err != nil {
		return err
	}
	return errors.Join(r.read(t, env, r.env, ""), r.read(t, output, r.context, "steps."+s.ID+".outputs."))
}

var expression = regexp.MustCompile(`\$\{\{ *([^ }]+) *\}\}`)

// fill replaces ${{ }}; one that is unknown would be empty on a runner too, but
// is a mistake here.
func (r *runner) fill(t *testing.T, text string) string {
	t.Helper()
	return expression.ReplaceAllStringFunc(text, func(found string) string {
		value, known := r.context[expression.FindStringSubmatch(found)[1]]
		if !known {
			t.Errorf("the workflow uses %s, which nothing sets", found)
		}
		return value
	})
}

var unescape = strings.NewReplacer("%25", "%", "%0D", "\r", "%0A", "\n")

// print takes what a step printed: each add-mask command adds a mask, for the
// whole value and for each of its lines, from the next line on.
func (r *runner) print(text string) {
	for _, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if value, is := strings.CutPrefix(line, "::add-mask::"); is {
			value = unescape.Replace(value)
			r.masks = append(r.masks, value)
			r.masks = append(r.masks, strings.FieldsFunc(value, func(c rune) bool { return c == '\r' || c == '\n' })...)
			r.log = append(r.log, "::add-mask::***")
			continue
		}
		for _, mask := range r.masks {
			if mask != "" {
				line = strings.ReplaceAll(line, mask, "***")
			}
		}
		if line != "" {
			r.log = append(r.log, line)
		}
	}
}

// read reads a file of NAME=value lines and NAME<<DELIMITER blocks by the
// runner's rules into values.
func (r *runner) read(t *testing.T, file string, values map[string]string, prefix string) error {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for rest := string(text); rest != ""; {
		var line string
		line, rest, _ = strings.Cut(rest, "\n")
		equals, block := strings.Index(line, "="), strings.Index(line, "<<")
		switch {
		case line == "":
		case equals > 0 && (block < 0 || equals < block):
			values[prefix+line[:equals]] = line[equals+1:]
		case block > 0:
			value, after, found := strings.Cut("\n"+rest, "\n"+line[block+2:]+"\n")
			if !found {
				return fmt.Errorf("a block of %s has no end", filepath.Base(file))
			}
			values[prefix+line[:block]], rest = strings.TrimPrefix(value, "\n"), after
		default:
			return fmt.Errorf("a line of %s has an invalid format", filepath.Base(file))
		}
	}
	return nil
}

// requests is how often the steps called curl, and with what arguments.
func (r *runner) requests(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(r.calls)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
}
