package template

import (
	"fmt"
	"strconv"
	"strings"
	"text/template/parse"
	"unicode"
	"unicode/utf8"

	"github.com/hanzoai/kms/api"
)

const (
	// maxText is the longest text of a template. A parse tree takes up to a
	// hundred times the memory of its text.
	maxText = 256 << 10

	// maxActions is the most actions of a template. Each may be nested in the
	// one before, and the parser's stack grows by two kilobytes for each.
	maxActions = 5000

	// maxShown is the most that an error repeats of a template.
	maxShown = 200
)

// ErrTemplate is the kind of the errors of a template that is wrong. A secret
// that is not there is api.ErrNotFound instead, and a result that is too large
// is api.ErrTooLarge.
var ErrTemplate = fmt.Errorf("wrong template: %w", api.ErrInvalid)

// Template is a template that was read and checked. It may be executed by
// several goroutines at once.
type Template struct {
	name        string
	text        string
	left, right string
	root        *parse.ListNode
	trees       map[string]*parse.Tree // the templates that it defines
	functions   map[string]function
}

// problem is why something cannot be done. Its reason is a text of this
// package or of the template: a type of its own keeps the errors of other
// packages out, since many of them quote the values they were given.
type problem struct {
	kind   error
	reason string
}

func wrong(reason string) *problem { return &problem{ErrTemplate, reason} }

// Parse reads a template. Its actions stand between left and right, or between
// {{ and }} where these are "". The name is what errors call the template.
func Parse(name, text, left, right string) (*Template, error) {
	t := &Template{name: name, text: text, left: left, right: right, functions: functions()}
	if left == "" {
		t.left = "{{"
	}
	if right == "" {
		t.right = "}}"
	}
	if err := t.measure(); err != nil {
		return nil, err
	}
	if err := t.parse(); err != nil {
		return nil, err
	}
	if err := t.check(); err != nil {
		return nil, err
	}
	return t, nil
}

// measure bounds what the parser will need.
func (t *Template) measure() error {
	if len(t.text) > maxText {
		return api.Errorf(api.ErrTooLarge, "template %s: it has %d bytes, and %d is the most; divide it into several outputs", t.name, len(t.text), maxText)
	}
	if n := strings.Count(t.text, t.left); n > maxActions {
		return api.Errorf(api.ErrTooLarge, "template %s: it has %d actions, and %d is the most; divide it into several outputs", t.name, n, maxActions)
	}
	return nil
}

// parse leaves the check of function names to check, which knows their
// position and the nearest name.
func (t *Template) parse() error {
	t.trees = map[string]*parse.Tree{}
	tree := parse.New("") // its name goes into a format of the parser's
	tree.Mode = parse.SkipFuncCheck
	if _, err := tree.Parse(t.text, t.left, t.right, t.trees); err != nil {
		return t.syntaxError(err)
	}
	t.root = tree.Root
	return nil
}

// syntaxError passes the parser's text on: it was given the template alone,
// and no value. The text begins with "template: NAME:LINE:".
func (t *Template) syntaxError(err error) error {
	text := strings.TrimPrefix(err.Error(), "template: :")
	text = strings.ReplaceAll(text, " at :", " at line ") // "action started at NAME:LINE"
	number, _, _ := strings.Cut(text, ":")
	return api.Errorf(ErrTemplate, "template %s:%s%s", t.name, oneLine(text), t.dashHint(number))
}

// dashHint helps with the commonest mistake, {{ .db-password }}.
func (t *Template) dashHint(lineNumber string) string {
	n, _ := strconv.Atoi(lineNumber)
	lines := strings.Split(t.text, "\n")
	if n < 1 || n > len(lines) {
		return ""
	}
	for _, word := range strings.FieldsFunc(lines[n-1], notInKey) {
		if key, ok := strings.CutPrefix(word, "."); ok && strings.Contains(strings.Trim(key, "-"), "-") {
			return fmt.Sprintf("; write secret %q for a key that has more than letters, digits and _", oneLine(strings.TrimRight(key, "-")))
		}
	}
	return ""
}

func notInKey(r rune) bool {
	return !strings.ContainsRune(".-_", r) && !unicode.IsLetter(r) && !unicode.IsDigit(r)
}

// fail is the error at a node; action is what to show of the template.
func (t *Template) fail(node parse.Node, action parse.Node, p *problem) error {
	before := t.text[:node.Position()]
	line := 1 + strings.Count(before, "\n")
	column := 1 + utf8.RuneCountInString(before[strings.LastIndex(before, "\n")+1:])
	shown := ""
	if action != nil {
		shown = t.left + oneLine(action.String()) + t.right + ": "
	}
	return api.Errorf(p.kind, "template %s:%d:%d: %s%s", t.name, line, column, shown, p.reason)
}

// oneLine is the text for an error: short, and on one line.
func oneLine(text string) string {
	if len(text) > maxShown {
		text = strings.ToValidUTF8(text[:maxShown], "") + "..."
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text)
}
