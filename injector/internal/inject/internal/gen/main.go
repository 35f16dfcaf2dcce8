// Gen makes the list in docs/annotations.md from the table of annotations that
// the injector works by. "go generate" runs it in the folder of package inject.
//
// It must give the same for the same, and never touch what stands outside of
// its markers.
package main

// SPDX-License-Identifier: Apache-2.0

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/hanzoai/kms/injector/internal/inject"
	"github.com/hanzoai/kms/internal/markers"
)

func main() {
	if err := run("."); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(folder string) error {
	page := filepath.Join(folder, "../../../docs/annotations.md")
	before, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	after, err := fill(before, list(inject.Groups()))
	if err != nil {
		return fmt.Errorf("%s: %w", page, err)
	}
	return os.WriteFile(page, after, 0o644)
}

// fill puts the list between its markers.
func fill(page []byte, list string) ([]byte, error) {
	return markers.Fill(page, map[string]string{"annotations": list})
}

func list(groups []inject.Group) string {
	var sections []string
	for _, g := range groups {
		var out strings.Builder
		fmt.Fprintf(&out, "### %s\n\n", g.Title)
		for _, a := range g.Annotations {
			fmt.Fprintf(&out, "- `%s` (%s): %s\n", fullName(a), facts(a), markdown(a.Doc))
		}
		sections = append(sections, out.String())
	}
	return strings.Join(sections, "\n")
}

func fullName(a inject.Annotation) string {
	if a.Output() {
		return inject.Prefix + a.Name + "<n>"
	}
	return inject.Prefix + a.Name
}

// facts are what is known of an annotation without its text.
func facts(a inject.Annotation) string {
	facts := []string{string(a.Type)}
	if a.Type == inject.Choice {
		facts[0] = "`" + strings.Join(a.Choices, "`, `") + "`"
	}
	if a.Default != "" {
		facts = append(facts, "default `"+a.Default+"`")
	}
	if a.PodOnly() {
		facts = append(facts, "on the pod only")
	}
	return strings.Join(facts, "; ")
}

var quoted = regexp.MustCompile(`"([^"]*)"`)

// markdown has the values that are in quotes as code.
func markdown(doc string) string { return quoted.ReplaceAllString(doc, "`$1`") }
