package app

import (
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"
)

// Flags are the settings of one program. Each flag has one environment
// variable, KMS_ and its name in capitals with '_' for '-'. A flag wins over
// the environment, the environment over the default; an empty variable counts
// as not set; of a flag given twice the last one holds.
//
// The syntax is that of the standard flag package. Its parser is not used
// because it stops at the first problem and shows it as text that quotes the
// argument, which may be a secret that somebody put in the wrong place.
//
// Definitions panic where a programmer made a mistake: a malformed name, a
// name twice, a name that Kubernetes would set.
type Flags struct {
	name    string
	about   string
	options []option
	secrets []secret

	rest      *[]string // nil: arguments that are no flags are refused
	restUsage string
}

// option is one flag.
type option struct {
	name    string
	kind    string // of value, for the usage: "string", "duration", ...
	usage   string
	initial string // the default, as it would be written
	boolean bool   // -name alone means -name=true
	set     func(string) error
}

// NewFlags starts the settings of the program called name; about is the text
// that its usage begins with.
func NewFlags(name, about string) *Flags {
	return &Flags{name: name, about: about}
}

// String defines a flag that takes any text.
func (f *Flags) String(p *string, name, initial, usage string) {
	*p = initial
	f.add(option{name: name, kind: "string", usage: usage, initial: initial, set: func(s string) error {
		*p = s
		return nil
	}})
}

// Bool defines a flag that is on as -name and off as -name=false.
func (f *Flags) Bool(p *bool, name string, initial bool, usage string) {
	*p = initial
	f.add(option{name: name, usage: usage, initial: strconv.FormatBool(initial), boolean: true, set: func(s string) error {
		return store(p, s, strconv.ParseBool, "is neither true nor false")
	}})
}

// Int defines a flag that takes a whole number.
func (f *Flags) Int(p *int, name string, initial int, usage string) {
	*p = initial
	f.add(option{name: name, kind: "int", usage: usage, initial: strconv.Itoa(initial), set: func(s string) error {
		return store(p, s, parseInt, "is not a whole number, such as 10")
	}})
}

// Duration defines a flag that takes a time with its unit.
func (f *Flags) Duration(p *time.Duration, name string, initial time.Duration, usage string) {
	*p = initial
	f.add(option{name: name, kind: "duration", usage: usage, initial: initial.String(), set: func(s string) error {
		return store(p, s, time.ParseDuration, "is not a duration: give a number and a unit, such as 500ms, 30s or 5m")
	}})
}

// StringList defines a flag that takes texts separated by commas. Spaces
// around an element are dropped, an empty element is an error, and an empty
// text is the empty list.
func (f *Flags) StringList(p *[]string, name string, initial []string, usage string) {
	*p = initial
	f.add(option{name: name, kind: "list", usage: usage, initial: strings.Join(initial, ","), set: func(s string) error {
		return store(p, s, parseList, "has an empty element: give elements separated by single commas, such as a,b")
	}})
}

// Level defines a flag that takes a level of the log.
func (f *Flags) Level(p *slog.Level, name string, initial slog.Level, usage string) {
	*p = initial
	f.add(option{name: name, kind: "level", usage: usage, initial: strings.ToLower(initial.String()), set: func(s string) error {
		return store(p, s, parseLevel, "is not a level: give debug, info, warn or error")
	}})
}

// Rest lets arguments that are no flags follow the flags, and takes them
// after Parse; usage shows them, as in "COMMAND [ARG...]". Without Rest they
// are refused.
func (f *Flags) Rest(p *[]string, usage string) {
	f.rest, f.restUsage = p, usage
}

// add takes the option up.
func (f *Flags) add(o option) {
	switch {
	case !isFlagName(o.name):
		panic(fmt.Sprintf("flag -%s: a name is of a-z, 0-9 and '-' and starts with a letter", o.name))
	case isReserved(o.name):
		panic(fmt.Sprintf("flag -%s: its variable %s may be set by Kubernetes for a Service", o.name, variable(o.name)))
	case f.lookup(o.name) != nil || isBuiltIn(o.name):
		panic(fmt.Sprintf("flag -%s is defined twice", o.name))
	}
	f.options = append(f.options, o)
}

// lookup is the option of that name, nil if there is none.
func (f *Flags) lookup(name string) *option {
	for i := range f.options {
		if f.options[i].name == name {
			return &f.options[i]
		}
	}
	return nil
}

// variable is the environment variable of a flag.
func variable(name string) string {
	return "KMS_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

func isFlagName(name string) bool {
	for _, c := range name {
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-') {
			return false
		}
	}
	return name != "" && name[0] >= 'a' && name[0] <= 'z'
}

// isReserved tells the names whose variable Kubernetes sets in the pods of a
// namespace with a Service named kms (KMS_PORT=tcp://..., KMS_PORT_8080_TCP,
// KMS_SERVICE_HOST) or kms-something (KMS_SOMETHING_PORT and so on).
func isReserved(name string) bool {
	return strings.Contains("-"+name+"-", "-port-") ||
		strings.HasPrefix(name, "service-") ||
		strings.HasSuffix(name, "-service-host")
}

func isBuiltIn(name string) bool {
	return name == "h" || name == "help" || name == "version"
}

// store puts what parse makes of s into p, or gives an error that says wrong:
// the texts of strconv and time repeat the value and say nothing of what
// would be right.
func store[T any](p *T, s string, parse func(string) (T, error), wrong string) error {
	v, err := parse(s)
	if err != nil {
		return errors.New(wrong)
	}
	*p = v
	return nil
}

func parseInt(s string) (int, error) {
	n, err := strconv.ParseInt(s, 0, strconv.IntSize)
	return int(n), err
}

func parseList(s string) ([]string, error) {
	if strings.TrimSpace(s) == "" {
		return nil, nil
	}
	list := strings.Split(s, ",")
	for i := range list {
		list[i] = strings.TrimSpace(list[i])
		if list[i] == "" {
			return nil, errors.New("empty element")
		}
	}
	return list, nil
}

func parseLevel(s string) (level slog.Level, err error) {
	switch strings.ToLower(s) {
	case "debug", "info", "warn", "error":
		err = level.UnmarshalText([]byte(s))
		return level, err
	}
	return 0, errors.New("unknown level")
}
