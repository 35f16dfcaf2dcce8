// Command kms-injector gives pods the agent of Hanzo KMS.
package main

// SPDX-License-Identifier: Apache-2.0

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/hanzoai/kms/injector/internal/inject"
	"github.com/hanzoai/kms/injector/internal/render"
	"github.com/hanzoai/kms/internal/app"
)

const name = "kms-injector"

const usage = `kms-injector gives the pods that ask for it, by annotations, the agent of Hanzo KMS.

  kms-injector serve               answer the API servers of a cluster
  kms-injector render [-f FILE]    show what the pods in a file of manifests would become
  kms-injector version             print the version

-h after a command shows its flags.
`

func main() { app.Main(name, run) }

// run is main with its surroundings as parameters.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		return &badCommand{errors.New("say what to do: serve or render; kms-injector -h explains it")}
	}
	switch args[0] {
	case "serve":
		return serveWebhooks(ctx, args[1:], stdout)
	case "render":
		return renderFile(args[1:], stdout, stderr)
	case "-h", "-help", "--help", "help":
		return &app.Answer{Text: usage}
	case "-version", "--version", "version":
		return &app.Answer{Text: name + " " + app.VersionString() + "\n"}
	}
	return &badCommand{errors.New("there is no such command: there are serve, render and version")}
}

// badCommand is an error of whoever typed it.
type badCommand struct{ error }

func (b *badCommand) Unwrap() error { return b.error }
func (b *badCommand) ExitCode() int { return 2 }

const aboutRender = `It reads manifests, YAML or JSON, and prints them as they are when the injector
has seen their pods: alone, or in a Deployment, StatefulSet, DaemonSet, ReplicaSet,
Job, CronJob or List. Everything else stays as it is.

  kms-injector render -f deployment.yaml
  helm template . | kms-injector render -server https://kms.example.com
  kms-injector render -f web.yaml \
    -namespace-annotations "$(kubectl get namespace shop -o jsonpath='{.metadata.annotations}')"

A Namespace in the stream gives defaults to its pods, a ConfigMap in it is a
profile for those that name it. No cluster is asked, so Secrets that are missing
in one are not warned of.

Warnings and denials go to stderr. If a pod is denied nothing is printed, and the
exit code is 1; it is 2 for a bad command line.`

func renderFile(args []string, stdout, stderr io.Writer) error {
	var file, reports string
	var s settings
	var namespace textsFlag
	f := app.NewFlags(name+" render", aboutRender)
	f.String(&file, "f", "-", "`FILE` of manifests, - for the standard input")
	f.String(&namespace.text, "namespace-annotations", "", "annotations of the pods' namespace, as an `OBJECT` in YAML or JSON: '{kms.hanzo.ai/env: prod}'")
	f.String(&reports, "reports-url", "", "`URL` that agents report to, where the cluster's injector takes reports; of the authorities that it adds nothing is known here")
	s.flags(f)
	err := f.Parse(args, os.LookupEnv)
	if answer := (*app.Answer)(nil); errors.As(err, &answer) {
		return err
	}
	annotations, wrong := namespace.parse("namespace-annotations")
	injection, invalid := s.parse()
	if err = errors.Join(err, wrong, invalid); err != nil {
		return &badCommand{err}
	}
	if reports != "" {
		injection.Reports = &inject.ReportSettings{URL: reports}
	}
	in, err := readFile(file)
	if err != nil {
		return fmt.Errorf("read the manifests: %w", err)
	}
	out, findings, err := render.Stream(injection, annotations, in)
	denied := tell(stderr, findings)
	if err != nil || denied {
		return errors.Join(err, exitIf(denied))
	}
	_, err = stdout.Write(out)
	return err
}

func readFile(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(os.Stdin)
	}
	return os.ReadFile(name)
}

// deniedPods is the end of a program that has said what is wrong.
type deniedPods struct{}

func (deniedPods) Error() string { return "" }
func (deniedPods) ExitCode() int { return 1 }

func exitIf(denied bool) error {
	if denied {
		return deniedPods{}
	}
	return nil
}

// tell prints what was found, in colour where a person looks.
func tell(to io.Writer, findings []render.Finding) (denied bool) {
	colour := isTerminal(to) && os.Getenv("NO_COLOR") == ""
	for _, f := range findings {
		word, code := "warning", "33"
		if f.Denied {
			word, code, denied = "denied", "31", true
		}
		if colour {
			word = "\x1b[" + code + "m" + word + "\x1b[0m"
		}
		fmt.Fprintf(to, "%s: %s: %s\n", word, printable(f.Object), printable(f.Text))
	}
	return denied
}

func isTerminal(w io.Writer) bool {
	file, is := w.(*os.File)
	if !is {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// printable keeps what stands in a manifest from steering a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, text)
}
