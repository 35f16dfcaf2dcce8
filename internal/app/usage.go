package app

import (
	"fmt"
	"strings"
)

// Usage is the manual that -h prints: every flag with its default and its
// environment variable, every secret with its two variables.
func (f *Flags) Usage() string {
	var b strings.Builder
	fmt.Fprintf(&b, "usage: %s [flags]", f.name)
	if f.rest != nil {
		fmt.Fprintf(&b, " [--] %s", f.restUsage)
	}
	fmt.Fprintf(&b, "\n\n%s\n", strings.TrimSpace(f.about))
	if len(f.options) > 0 {
		b.WriteString("\nFlags. A flag wins over its environment variable, that over the default;\nan empty variable counts as not set.\n\n")
	}
	for _, o := range f.options {
		value, usage := o.unquoted()
		fmt.Fprintf(&b, "  -%s\n%s", strings.TrimSpace(o.name+" "+value), indent(usage))
		fmt.Fprintf(&b, "%s", indent(fmt.Sprintf("(default %s, environment %s)", o.shown(), variable(o.name))))
	}
	if len(f.secrets) > 0 {
		b.WriteString("\nSecrets, from the environment only. NAME_FILE names a file that holds the secret\nin place of NAME; one line end at its end is dropped.\n\n")
	}
	for _, s := range f.secrets {
		fmt.Fprintf(&b, "  %s, %s_FILE (%s)\n%s", s.name, s.name, s.need, indent(s.usage))
	}
	b.WriteString("\n  -h, -help\n" + indent("print this text") + "  -version\n" + indent("print the version"))
	return b.String()
}

// String is how a usage text says it.
func (n Need) String() string {
	if n == Required {
		return "required"
	}
	return "optional"
}

// unquoted is the usage text without its backquotes, and the name of the value:
// what stands between them, as in the standard flag package, or the kind.
func (o option) unquoted() (value, usage string) {
	before, rest, _ := strings.Cut(o.usage, "`")
	name, after, quoted := strings.Cut(rest, "`")
	if !quoted {
		return o.kind, o.usage
	}
	return name, before + name + after
}

// shown is the default in a usage text.
func (o option) shown() string {
	switch {
	case o.initial == "":
		return "none"
	case o.kind == "string":
		return fmt.Sprintf("%q", o.initial)
	}
	return o.initial
}

func indent(text string) string {
	return "        " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n        ") + "\n"
}
