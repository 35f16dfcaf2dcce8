package template

import (
	"fmt"
	"strings"
	"text/template/parse"

	"github.com/hanzoai/kms/api"
)

// pipe evaluates a pipeline and gives its value to the variables it declares.
func (r *run) pipe(dot any, pipe *parse.PipeNode) (value any, err error) {
	if err := r.enter(pipe, pipe); err != nil {
		return nil, err
	}
	defer r.leave()
	for i, command := range pipe.Cmds {
		piped := []any{value}
		if i == 0 {
			piped = nil
		}
		if value, err = r.command(dot, pipe, command, piped); err != nil {
			return nil, err
		}
	}
	for _, declared := range pipe.Decl {
		if !pipe.IsAssign {
			r.stack = append(r.stack, variable{declared.Ident[0], value})
			continue
		}
		if p := r.assign(declared.Ident[0], value); p != nil {
			return nil, r.fail(declared, pipe, p)
		}
	}
	return value, nil
}

func (r *run) command(dot any, pipe *parse.PipeNode, command *parse.CommandNode, piped []any) (any, error) {
	if p := r.step(1); p != nil {
		return nil, r.fail(command, pipe, p)
	}
	called, ok := command.Args[0].(*parse.IdentifierNode)
	if !ok {
		return r.operand(dot, pipe, command.Args[0])
	}
	if called.Ident == "and" || called.Ident == "or" {
		return r.decide(dot, pipe, command, piped)
	}
	arguments := make([]any, 0, len(command.Args)-1+len(piped))
	for _, node := range command.Args[1:] {
		argument, err := r.operand(dot, pipe, node)
		if err != nil {
			return nil, err
		}
		arguments = append(arguments, argument)
	}
	value, p := r.apply(r.functions[called.Ident], append(arguments, piped...))
	if p != nil {
		return nil, r.fail(command, pipe, p)
	}
	return value, nil
}

// decide is and and or: it evaluates no more arguments than it needs.
func (r *run) decide(dot any, pipe *parse.PipeNode, command *parse.CommandNode, piped []any) (value any, err error) {
	decisive := command.Args[0].(*parse.IdentifierNode).Ident == "or"
	for _, node := range command.Args[1:] {
		if p := r.step(1); p != nil {
			return nil, r.fail(node, pipe, p)
		}
		if value, err = r.operand(dot, pipe, node); err != nil || truth(value) == decisive {
			return value, err
		}
	}
	if len(piped) > 0 {
		return piped[0], nil
	}
	return value, nil
}

// apply calls a function. Reading costs steps, and what is made costs scratch.
func (r *run) apply(f function, arguments []any) (any, *problem) {
	if p := r.step(len(arguments) + sizeOf(arguments)/1024); p != nil {
		return nil, p
	}
	value, p := f.call(r, arguments)
	if p != nil {
		return nil, p
	}
	if text, ok := value.(string); ok {
		return value, r.spend(len(text))
	}
	return value, nil
}

// sizeOf is the length of the texts among the values, and in lists of theirs.
func sizeOf(values []any) (size int) {
	for _, value := range values {
		switch value := value.(type) {
		case string:
			size += len(value)
		case []any:
			size += 16*len(value) + sizeOf(value)
		}
	}
	return size
}

// operand is the value of one word of a command.
func (r *run) operand(dot any, pipe *parse.PipeNode, node parse.Node) (any, error) {
	switch node := node.(type) {
	case *parse.DotNode:
		return dot, nil
	case *parse.BoolNode:
		return node.True, nil
	case *parse.NumberNode:
		return node.Int64, nil
	case *parse.StringNode:
		return node.Text, nil
	case *parse.FieldNode:
		return r.fields(pipe, node, dot, node.Ident)
	case *parse.PipeNode:
		return r.pipe(dot, node)
	case *parse.VariableNode:
		value, p := r.variable(node.Ident[0])
		if p != nil {
			return nil, r.fail(node, pipe, p)
		}
		return r.fields(pipe, node, *value, node.Ident[1:])
	case *parse.ChainNode:
		value, err := r.operand(dot, pipe, node.Node)
		if err != nil {
			return nil, err
		}
		return r.fields(pipe, node, value, node.Field)
	}
	return nil, r.fail(node, pipe, wrong("this has no value"))
}

// fields follows names into maps, as in .db.host.
func (r *run) fields(pipe *parse.PipeNode, node parse.Node, value any, names []string) (any, error) {
	for _, name := range names {
		field, found, p := entry(value, name)
		switch {
		case p != nil:
			return nil, r.fail(node, pipe, p)
		case !found && r.lenient:
			return "", nil
		case !found:
			return nil, r.fail(node, pipe, noField(value, names, name))
		}
		value = field
	}
	return value, nil
}

// entry is what a map has under a key.
func entry(of any, key string) (value any, found bool, p *problem) {
	switch of := of.(type) {
	case map[string]string:
		value, found = of[key]
	case map[string]any:
		value, found = of[key]
	default:
		p = wrong("only the set of secrets and a map from fromJson have keys; in range and with, the set is $")
	}
	return value, found, p
}

// noField may repeat the names, since they stand in the template.
func noField(of any, names []string, name string) *problem {
	reason := fmt.Sprintf("there is no key %q", oneLine(name))
	switch _, isSet := of.(map[string]string); {
	case isSet && len(names) > 1:
		reason += fmt.Sprintf("; write secret %q if the dot belongs to the key", oneLine(strings.Join(names, ".")))
	case isSet:
		reason += fmt.Sprintf("; write secretOr %q \"default\", or ask with has %[1]q, if it may be absent", oneLine(name))
	}
	return &problem{api.ErrNotFound, reason}
}

// named is what a map has under a key that a function was given. The key may
// be a value of its own, and is not repeated.
func (r *run) named(of any, key string) (any, *problem) {
	value, found, p := entry(of, key)
	switch {
	case p != nil || found:
		return value, p
	case r.lenient:
		return "", nil
	}
	return nil, &problem{api.ErrNotFound, "there is no such key; write secretOr KEY DEFAULT, or ask with has KEY, if it may be absent"}
}

// variable finds a variable. The parser has seen a declaration of it, which
// and and or may have passed over.
func (r *run) variable(name string) (*any, *problem) {
	for i := len(r.stack) - 1; i >= r.base; i-- {
		if r.stack[i].name == name {
			return &r.stack[i].value, r.step((len(r.stack) - i) / 16)
		}
	}
	return nil, wrong("the variable has no value here")
}

func (r *run) assign(name string, value any) *problem {
	place, p := r.variable(name)
	if p == nil {
		*place = value
	}
	return p
}
