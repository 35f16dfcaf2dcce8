package inject

import (
	"maps"
	"slices"
	"strings"

	"github.com/hanzoai/kms/internal/spelling"
)

// warnUnknown is about names that are in no row of the table: most are slips.
func (p *plan) warnUnknown() {
	for _, full := range slices.Sorted(maps.Keys(p.pod.Annotations)) {
		if name, ours := strings.CutPrefix(full, Prefix); ours {
			p.warnName(name, "there is no annotation %s%s%s", Prefix)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.profile)) {
		p.warnName(name, "the profile has a key that is no annotation: %s%s%s", "")
	}
}

func (p *plan) warnName(name, format, prefix string) {
	if _, _, known := find(name); known {
		return
	}
	hint := ""
	if near := nearest(name); near != "" {
		hint = ": did you mean " + near + "?"
	}
	p.warnings.add(format, prefix, name, hint)
}

// nearest is the annotation that a misspelt one was probably meant to be, "" if
// none is close: at most a third of its letters wrong. For one output, only
// what stands before the output's name is compared.
func nearest(misspelt string) string {
	best, found := "", len(misspelt)
	if len(misspelt) > 128 {
		return ""
	}
	for _, row := range table {
		for _, part := range beginnings(misspelt, row) {
			if d := spelling.Distance(part, row.Name); d < found && d <= len(part)/3 {
				best, found = row.Name+misspelt[len(part):], d
			}
		}
	}
	return best
}

// beginnings are the parts of a name that may stand for the row's.
func beginnings(name string, row Annotation) (list []string) {
	if !row.Output() {
		return []string{name}
	}
	for i := range len(name) - 1 {
		if name[i] == '-' {
			list = append(list, name[:i+1])
		}
	}
	return list
}
