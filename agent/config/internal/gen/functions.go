package main

import (
	"fmt"
	"strings"

	"github.com/hanzoai/kms/internal/template"
)

// functions is the list of all that templates can call.
func functions(list []template.Function) string {
	var out strings.Builder
	for _, f := range list {
		fmt.Fprintf(&out, "- %s: %s\n", code(f.Usage), markdown(f.Doc, nil))
	}
	return out.String()
}
