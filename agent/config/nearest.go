package config

import (
	"strings"

	"github.com/hanzoai/kms/internal/spelling"
)

// nearest is the name that a misspelt one was probably meant to be: one that
// takes a third of its letters to change at most, or that it is a part of; ""
// if there is none.
func nearest(misspelt string, names []string) string {
	best, found := "", len(misspelt)/3+2
	if len(misspelt) > 64 {
		return ""
	}
	for _, name := range names {
		if d := spelling.Distance(strings.ToLower(misspelt), strings.ToLower(name)); d < found {
			best, found = name, d
		}
	}
	if best != "" || len(misspelt) < 3 {
		return best
	}
	for _, name := range names {
		if strings.Contains(strings.ToLower(name), strings.ToLower(misspelt)) {
			return name
		}
	}
	return ""
}
