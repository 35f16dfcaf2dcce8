package template

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"text/template/parse"

	"github.com/hanzoai/kms/api"
)

const (
	// maxSteps is how many nodes of its trees an execution may visit, and how
	// many KiB its functions may read.
	maxSteps = 1_000_000

	// maxDepth is how deep lists and pipelines may be nested while they run.
	maxDepth = 1000

	// leastScratch is what the functions of an execution may make, in bytes,
	// beside a multiple of the limit of its result.
	leastScratch = 4 << 20
)

// These end an iteration of a range; they never leave it.
var (
	errBreak    = errors.New("break")
	errContinue = errors.New("continue")
)

// run is one execution.
type run struct {
	*Template
	secrets map[string]string
	lenient bool // a key that is not there is empty
	result  []byte
	limit   int
	scratch int // the bytes that functions may still make
	steps   int // the steps that may still be taken
	depth   int
	stack   []variable
	base    int // where the variables of the current template begin
}

type variable struct {
	name  string
	value any
}

// Execute renders the template for a set of secrets, in at most limit bytes. A
// key that is not there is an error, or, where lenient, an empty text.
func (t *Template) Execute(secrets map[string]string, lenient bool, limit int) (result []byte, err error) {
	defer func() {
		if recover() != nil { // what it says may hold a value
			result, err = nil, api.Errorf(ErrTemplate, "template %s: its execution broke off; report this with the template", t.name)
		}
	}()
	limit = min(max(limit, 0), math.MaxInt/8)
	r := &run{Template: t, secrets: secrets, lenient: lenient, limit: limit, steps: maxSteps, scratch: leastScratch + 4*limit}
	if err := r.template(secrets, t.root); err != nil {
		return nil, err
	}
	return r.result, nil
}

// template runs a tree with variables of its own.
func (r *run) template(dot any, list *parse.ListNode) error {
	defer func(base, mark int) { r.base, r.stack = base, r.stack[:mark] }(r.base, len(r.stack))
	r.base = len(r.stack)
	r.stack = append(r.stack, variable{"$", dot})
	return r.list(dot, list)
}

func (r *run) list(dot any, list *parse.ListNode) error {
	if list == nil {
		return nil
	}
	if err := r.enter(list, nil); err != nil {
		return err
	}
	defer r.leave()
	for _, node := range list.Nodes {
		if err := r.node(dot, node); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) node(dot any, node parse.Node) error {
	if p := r.step(1); p != nil {
		return r.fail(node, nil, p)
	}
	switch node := node.(type) {
	case *parse.TextNode:
		return r.write(node, nil, string(node.Text))
	case *parse.ActionNode:
		return r.action(dot, node)
	case *parse.IfNode:
		return r.branch(dot, &node.BranchNode, false)
	case *parse.WithNode:
		return r.branch(dot, &node.BranchNode, true)
	case *parse.RangeNode:
		return r.rangeOver(dot, node)
	case *parse.TemplateNode:
		return r.call(dot, node)
	case *parse.BreakNode:
		return errBreak
	case *parse.ContinueNode:
		return errContinue
	}
	return nil
}

func (r *run) action(dot any, node *parse.ActionNode) error {
	value, err := r.pipe(dot, node.Pipe)
	if err != nil || len(node.Pipe.Decl) > 0 {
		return err
	}
	text, p := textOf(value)
	if p != nil {
		return r.fail(node, node.Pipe, p)
	}
	return r.write(node, node.Pipe, text)
}

func (r *run) write(node, action parse.Node, text string) error {
	if len(text) > r.limit-len(r.result) {
		return r.fail(node, action, &problem{api.ErrTooLarge, fmt.Sprintf("the result would have more than %d bytes", r.limit)})
	}
	r.result = append(r.result, text...)
	return nil
}

func (r *run) branch(dot any, branch *parse.BranchNode, with bool) error {
	defer r.drop(len(r.stack))
	value, err := r.pipe(dot, branch.Pipe)
	if err != nil {
		return err
	}
	if !truth(value) {
		return r.list(dot, branch.ElseList)
	}
	if with {
		dot = value
	}
	return r.list(dot, branch.List)
}

func (r *run) call(dot any, node *parse.TemplateNode) error {
	var argument any
	if node.Pipe != nil {
		var err error
		if argument, err = r.pipe(dot, node.Pipe); err != nil {
			return err
		}
	}
	return r.template(argument, r.trees[node.Name].Root)
}

func (r *run) rangeOver(dot any, node *parse.RangeNode) error {
	defer r.drop(len(r.stack))
	over, err := r.pipe(dot, node.Pipe)
	if err != nil {
		return err
	}
	if !truth(over) {
		if p := rangeable(over); p != nil {
			return r.fail(node.Pipe, node.Pipe, p)
		}
		return r.list(dot, node.ElseList)
	}
	err = r.elements(over, node)
	if err == errBreak {
		return nil
	}
	return err
}

func rangeable(over any) *problem {
	switch over.(type) {
	case nil, int64, []any, map[string]any, map[string]string:
		return nil
	}
	return wrong("range needs a list, a map or a whole number; split makes a list of a text, int a number")
}

func (r *run) elements(over any, node *parse.RangeNode) error {
	switch over := over.(type) {
	case int64:
		return r.count(over, node)
	case []any:
		for i, element := range over {
			if err := r.iterate(int64(i), element, node); err != nil {
				return err
			}
		}
		return nil
	case map[string]any:
		return iterateMap(r, over, node)
	case map[string]string:
		return iterateMap(r, over, node)
	}
	return r.fail(node.Pipe, node.Pipe, rangeable(over))
}

func (r *run) count(n int64, node *parse.RangeNode) error {
	if len(node.Pipe.Decl) > 1 {
		return r.fail(node.Pipe, node.Pipe, wrong("a range over a number has one variable"))
	}
	for i := range n {
		if err := r.iterate(nil, i, node); err != nil {
			return err
		}
	}
	return nil
}

func iterateMap[V any](r *run, over map[string]V, node *parse.RangeNode) error {
	if p := r.step(len(over)); p != nil { // for sorting
		return r.fail(node.Pipe, node.Pipe, p)
	}
	for _, key := range slices.Sorted(maps.Keys(over)) {
		if err := r.iterate(key, over[key], node); err != nil {
			return err
		}
	}
	return nil
}

// iterate runs the body once. It costs a step even where the body is empty.
func (r *run) iterate(key, element any, node *parse.RangeNode) error {
	defer r.drop(len(r.stack))
	if p := r.step(1); p != nil {
		return r.fail(node.Pipe, node.Pipe, p)
	}
	if p := r.bind(node.Pipe.Decl, key, element); p != nil {
		return r.fail(node.Pipe, node.Pipe, p)
	}
	err := r.list(element, node.List)
	if err == errContinue {
		return nil
	}
	return err
}

// bind gives the variables of a range their values: the element, or the key
// and the element.
func (r *run) bind(variables []*parse.VariableNode, key, element any) *problem {
	switch len(variables) {
	case 0:
		return nil
	case 1:
		return r.assign(variables[0].Ident[0], element)
	}
	if p := r.assign(variables[0].Ident[0], key); p != nil {
		return p
	}
	return r.assign(variables[1].Ident[0], element)
}

// drop forgets the variables above the mark.
func (r *run) drop(mark int) { r.stack = r.stack[:mark] }

func (r *run) enter(node, action parse.Node) error {
	if r.depth == maxDepth {
		return r.fail(node, action, wrong(fmt.Sprintf("this is nested more than %d deep", maxDepth)))
	}
	r.depth++
	return nil
}

func (r *run) leave() { r.depth-- }

func (r *run) step(n int) *problem {
	if n > r.steps {
		r.steps = 0
		return wrong(fmt.Sprintf("the template takes more than %d steps; range over less", maxSteps))
	}
	r.steps -= n
	return nil
}

// room asks whether a function may make n more bytes; spend takes them.
func (r *run) room(n int) *problem {
	if n < 0 || n > r.scratch {
		return &problem{api.ErrTooLarge, fmt.Sprintf("what the functions make would have more than %d bytes", leastScratch+4*r.limit)}
	}
	return nil
}

func (r *run) spend(n int) *problem {
	p := r.room(n)
	if p == nil {
		r.scratch -= n
	}
	return p
}
