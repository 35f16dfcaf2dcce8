package app

import (
	"errors"
	"fmt"
	"strings"

	"github.com/hanzoai/kms/internal/spelling"
)

// Answer is the error of a command line that asked for a text, such as -h or
// -version, and for nothing else. Main prints it on stdout and exits 0.
type Answer struct{ Text string }

func (a *Answer) Error() string { return a.Text }

// Parse takes the settings from args (without the program's name) and environ
// (os.LookupEnv), and secrets from the files that environ names. Its error
// holds all problems, one a line: which flag or variable, what was wrong, what
// would be right; never a value that may be a secret. Its exit code is 2, as
// the standard flag package has it. -h and -version give an *Answer.
//
// A program with rules of its own joins them, so that all is reported at once:
//
//	err := errors.Join(fs.Parse(args, os.LookupEnv), cfg.validate())
//
// The variables of secrets are removed from the environment; see Secret.
func (f *Flags) Parse(args []string, environ func(string) (string, bool)) error {
	p := parser{flags: f, given: make(map[string]bool)}
	p.arguments(args)
	if p.answer != nil {
		return p.answer
	}
	p.environment(environ)
	for _, s := range f.secrets {
		p.problem(s.read(environ))
	}
	f.forget()
	if len(p.problems) > 0 {
		return &usageError{errors.Join(p.problems...)}
	}
	return nil
}

// usageError is every problem of a command line and its environment.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }
func (e *usageError) ExitCode() int { return 2 }

// parser is the state of one Parse.
type parser struct {
	flags    *Flags
	given    map[string]bool // flags that the command line set, or tried to
	answer   *Answer
	problems []error
}

func (p *parser) problem(err error) {
	if err != nil {
		p.problems = append(p.problems, err)
	}
}

// arguments goes through the command line up to the first argument that is no
// flag, or, where none is allowed, to its end, to find all that is wrong.
func (p *parser) arguments(args []string) {
	for i := 0; i < len(args) && p.answer == nil; i++ {
		terminated := args[i] == "--"
		if terminated {
			i++
		}
		if terminated || !isFlag(args[i]) {
			if p.flags.rest != nil {
				*p.flags.rest = args[i:]
				return
			}
			if i < len(args) {
				p.problem(fmt.Errorf("argument %d is not a flag: %s takes flags only, and a flag is switched off as -name=false", i+1, p.flags.name))
			}
			continue
		}
		i += p.flag(args[i:])
	}
}

// isFlag: a single "-" is an argument, by custom a file name for stdin.
func isFlag(arg string) bool { return len(arg) >= 2 && arg[0] == '-' }

// flag takes the flag that args begins with and gives the number of further
// arguments that belong to it, 0 or 1.
func (p *parser) flag(args []string) (taken int) {
	name, value, hasValue := strings.Cut(strings.TrimPrefix(args[0][1:], "-"), "=")
	if p.builtIn(name) {
		return 0
	}
	o := p.flags.lookup(name)
	if o == nil {
		p.problem(p.flags.unknown(name))
		if !hasValue && len(args) > 1 && !isFlag(args[1]) {
			return 1 // most likely its value: one mistake, one line
		}
		return 0
	}
	p.given[name] = true
	switch {
	case hasValue:
	case o.boolean:
		value = "true"
	case len(args) > 1:
		value, taken = args[1], 1
	default:
		p.problem(fmt.Errorf("-%s: the value is missing: give it as -%s=%s", name, name, strings.ToUpper(o.kind)))
		return 0
	}
	p.set(o, "-"+name, value)
	return taken
}

func (p *parser) builtIn(name string) bool {
	switch name {
	case "h", "help":
		p.answer = &Answer{p.flags.Usage()}
	case "version":
		p.answer = &Answer{p.flags.name + " " + VersionString() + "\n"}
	}
	return p.answer != nil
}

// set gives the option the value that source named.
func (p *parser) set(o *option, source, value string) {
	if err := o.set(value); err != nil {
		p.problem(fmt.Errorf("%s: %.100q %w", source, value, err))
	}
}

// environment takes the flags that the command line left open.
func (p *parser) environment(environ func(string) (string, bool)) {
	for i := range p.flags.options {
		o := &p.flags.options[i]
		if p.given[o.name] {
			continue
		}
		if value, _ := environ(variable(o.name)); value != "" {
			p.set(o, variable(o.name), value)
		}
	}
}

// unknown is the problem of a flag that is not defined. A name that no flag
// could have is not shown: it may be a secret with a dash before it.
func (f *Flags) unknown(name string) error {
	if !isFlagName(name) || len(name) > 32 {
		return fmt.Errorf("an argument starts with '-' and is no flag of %s: see %s -h", f.name, f.name)
	}
	if known := f.nearest(name); known != "" {
		return fmt.Errorf("-%s is not a flag: did you mean -%s?", name, known)
	}
	return fmt.Errorf("-%s is not a flag: see %s -h", name, f.name)
}

// nearest is the known flag that name most likely stands for, "" if none is
// close: at most a third of its letters wrong.
func (f *Flags) nearest(name string) string {
	best, limit := "", max(1, len(name)/3)
	for _, o := range f.options {
		if d := spelling.Distance(name, o.name); d <= limit {
			best, limit = o.name, d-1
		}
	}
	return best
}
