package inject

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// An API server cuts warnings off that are longer, and drops those that are
// more.
const (
	maxWarning  = 120
	maxWarnings = 3072 // of 4096: the rest is for what the caller finds
)

type warnings []string

func (w *warnings) add(format string, args ...any) { *w = append(*w, fmt.Sprintf(format, args...)) }

// bounded are the warnings that will be shown.
func (w warnings) bounded() (list []string) {
	total := 0
	for i, text := range w {
		text = shorten(text, maxWarning)
		if total += len(text); total > maxWarnings {
			return append(list, fmt.Sprintf("and %d more warnings", len(w)-i))
		}
		if !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	return list
}

// shorten cuts a text between two characters. A warning is one line.
func shorten(text string, most int) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " ")
	if len(text) <= most {
		return text
	}
	text = text[:most-len("…")]
	for !utf8.ValidString(text) {
		text = text[:len(text)-1]
	}
	return text + "…"
}

// Need is an object of the pod's namespace that the pod uses.
type Need struct {
	Kind, Name string   // "Secret" or "ConfigMap"
	Keys       []string // that it must have
	Annotation string   // that names it
	Optional   bool     // whether the pod starts without it
}

// Missing is a warning for what the pod needs and the namespace does not have,
// "" for nothing. A caller that does not know the keys of the object gives nil.
func (n Need) Missing(exists bool, keys []string) string {
	if !exists && n.Optional {
		return shorten(fmt.Sprintf("%s: there is no %s %s yet", n.Annotation, n.Kind, n.Name), maxWarning)
	}
	if !exists {
		return shorten(fmt.Sprintf("%s: the pod waits for %s %s, which does not exist", n.Annotation, n.Kind, n.Name), maxWarning)
	}
	for _, key := range n.Keys {
		if keys != nil && !slices.Contains(keys, key) {
			return shorten(fmt.Sprintf("%s: the pod waits for the key %s of %s %s", n.Annotation, key, n.Kind, n.Name), maxWarning)
		}
	}
	return ""
}
