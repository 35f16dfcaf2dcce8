// Gen makes what is told twice about the configuration of kms-agent from where
// it is told once: schema.json and the options in docs/agent.md from
// config.Config, with its comments and tags; there too the example, from
// example.json, and the functions of templates, from package template.
// "go generate" runs it in the folder of agent/config.
//
// It must give the same for the same, and never touch what stands outside of
// its markers.
package main

// SPDX-License-Identifier: Apache-2.0

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/hanzoai/kms/agent/config"
	"github.com/hanzoai/kms/internal/markers"
	"github.com/hanzoai/kms/internal/template"
)

func main() {
	if err := run("."); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(folder string) error {
	files, err := generate(folder)
	if err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(name, content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// generate is what the files are to hold, by their names.
func generate(folder string) (map[string][]byte, error) {
	structs, err := readStructs(filepath.Join(folder, "config.go"))
	if err != nil {
		return nil, err
	}
	schema, err := schemaOf(structs)
	if err != nil {
		return nil, err
	}
	page := filepath.Join(folder, "../../docs/agent.md")
	text, err := os.ReadFile(page)
	if err != nil {
		return nil, err
	}
	text, err = markers.Fill(text, map[string]string{
		"options":   options(structs),
		"example":   "```json\n" + string(config.Example()) + "```\n",
		"functions": functions(template.Functions()),
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", page, err)
	}
	return map[string][]byte{filepath.Join(folder, "schema.json"): schema, page: text}, nil
}
