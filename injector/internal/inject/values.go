package inject

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/hanzoai/kms/agent/config"
)

// values are what holds for a pod: its own annotations first, then those of
// its namespace, of the profile, of the injector and of the table.
type values struct {
	given    map[string]value
	problems []string
	wrong    map[string]bool // what has a problem
}

type value struct {
	text  string
	layer string // where it was said, "" for the pod
	trust bool   // whether the operator said it
}

// say adds a layer below those before. An empty text hides what is below it.
func (v *values) say(layer, prefix string, texts map[string]string, trust bool) {
	for full, text := range texts {
		name, ours := strings.CutPrefix(full, prefix)
		_, _, known := find(name)
		if _, said := v.given[name]; ours && known && !said {
			v.given[name] = value{text: text, layer: layer, trust: trust}
		}
	}
}

func gather(s Settings, r Request, annotations map[string]string) values {
	v := values{given: map[string]value{}, wrong: map[string]bool{}}
	v.say("", Prefix, annotations, false)
	v.say("namespace", Prefix, r.Namespace, false)
	v.say("profile", "", r.Profile, false)
	v.say("injector", "", s.Defaults, true)
	return v
}

// said reports whether anybody gave the annotation.
func (v *values) said(name string) bool { return v.given[name].text != "" }

// text1 is one text: what was given, or the default of the table.
func (v *values) text1(name string) string {
	if given := v.given[name]; given.text != "" {
		return given.text
	}
	row, _, _ := find(name)
	return row.Default
}

func (v *values) flag(name string) bool     { return v.text1(name) == "true" }
func (v *values) list(name string) []string { return split(v.text1(name)) }

func (v *values) quantity(name string) resource.Quantity {
	quantity, _ := resource.ParseQuantity(v.text1(name))
	return quantity
}

func (v *values) duration(name string) time.Duration {
	d, _ := time.ParseDuration(v.text1(name))
	return d
}

// label is how problems and warnings call an annotation.
func (v *values) label(name string) string {
	if layer := v.given[name].layer; layer != "" {
		return Prefix + name + " (of the " + layer + ")"
	}
	return Prefix + name
}

// refuse adds a problem with an annotation: the first, since others may follow
// from it.
func (v *values) refuse(name, format string, args ...any) {
	v.report(v.label(name), v.label(name)+": "+fmt.Sprintf(format, args...))
}

// report adds a problem with whatever has the label.
func (v *values) report(label, problem string) {
	if !v.wrong[label] {
		v.wrong[label] = true
		v.problems = append(v.problems, problem)
	}
}

// inContainer adds a problem with a container of the pod.
func (v *values) inContainer(name, format string, args ...any) {
	problem := "container " + name + ": " + fmt.Sprintf(format, args...)
	v.report(problem, problem)
}

// checkForms looks at the form of each value.
func (v *values) checkForms() {
	for _, name := range slices.Sorted(maps.Keys(v.given)) {
		row, output, _ := find(name)
		if problem := row.wrong(v.given[name].text); problem != "" && v.said(name) {
			v.refuse(name, "%s", problem)
		}
		if output != "" && !config.IsFileName(output) {
			v.refuse(name, "the name of an output must be that of a file: no '/', and not beginning with \"..\"")
		}
	}
}

// wrong says what is wrong with the form of a value, "" for nothing.
func (a Annotation) wrong(text string) string {
	switch {
	case a.Type == Flag && text != "true" && text != "false":
		return fmt.Sprintf("must be true or false, not %.40q", text)
	case a.Type == Choice && !slices.Contains(a.Choices, text):
		return fmt.Sprintf("must be one of %s, not %.40q", strings.Join(a.Choices, ", "), text)
	case a.Type == List && len(split(text)) == 0:
		return "is a list without an element: write a,b"
	case a.Type == Name && len(validation.IsDNS1123Subdomain(text)) > 0:
		return fmt.Sprintf("must be the name of an object: small letters, digits, '-' and '.', not %.40q", text)
	case a.Type == Number && !isNumber(text):
		return fmt.Sprintf("must be a whole number, not %.40q", text)
	case a.Type == Duration && !isDuration(text):
		return fmt.Sprintf("must be a duration such as 30s or 5m, not %.40q", text)
	case a.Type == Size && !isSize(text):
		return fmt.Sprintf("must be a quantity such as 16Mi or 5m, not %.40q", text)
	}
	return ""
}

func isNumber(text string) bool {
	return text != "" && len(text) <= 10 && strings.Trim(text, "0123456789") == ""
}

func isDuration(text string) bool {
	d, err := time.ParseDuration(text)
	return err == nil && d >= 0
}

func isSize(text string) bool {
	quantity, err := resource.ParseQuantity(text)
	return err == nil && quantity.Sign() > 0
}
