package template

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/template/parse"
)

// checker finds what is wrong with a template before there are any secrets.
type checker struct {
	*Template
	name  string                           // the template that is being walked
	calls map[string][]*parse.TemplateNode // by the name of the calling template
}

func (t *Template) check() error {
	c := checker{Template: t, calls: map[string][]*parse.TemplateNode{}}
	for _, name := range slices.Sorted(maps.Keys(t.trees)) {
		c.name = name
		if err := c.list(t.trees[name].Root); err != nil {
			return err
		}
	}
	return c.refuseRecursion()
}

func (c *checker) list(list *parse.ListNode) error {
	if list == nil {
		return nil
	}
	for _, node := range list.Nodes {
		if err := c.node(node); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) node(node parse.Node) error {
	switch node := node.(type) {
	case *parse.ActionNode:
		return c.pipe(node.Pipe)
	case *parse.IfNode:
		return c.branch(&node.BranchNode)
	case *parse.WithNode:
		return c.branch(&node.BranchNode)
	case *parse.RangeNode:
		return c.branch(&node.BranchNode)
	case *parse.TemplateNode:
		return c.template(node)
	}
	return nil
}

func (c *checker) branch(branch *parse.BranchNode) error {
	if err := c.pipe(branch.Pipe); err != nil {
		return err
	}
	if err := c.list(branch.List); err != nil {
		return err
	}
	return c.list(branch.ElseList)
}

func (c *checker) template(node *parse.TemplateNode) error {
	if c.trees[node.Name] == nil {
		reason := fmt.Sprintf("there is no template %q", oneLine(node.Name))
		return c.fail(node, nil, wrong(reason+didYouMean(nearest(node.Name, slices.Sorted(maps.Keys(c.trees))))))
	}
	c.calls[c.name] = append(c.calls[c.name], node)
	if node.Pipe == nil {
		return nil
	}
	return c.pipe(node.Pipe)
}

func (c *checker) pipe(pipe *parse.PipeNode) error {
	for i, command := range pipe.Cmds {
		if err := c.command(pipe, command, i > 0); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) command(pipe *parse.PipeNode, command *parse.CommandNode, piped bool) error {
	given := len(command.Args) - 1
	if piped {
		given++
	}
	if called, ok := command.Args[0].(*parse.IdentifierNode); ok {
		if p := c.called(called.Ident, given); p != nil {
			return c.fail(command, pipe, p)
		}
	} else if given > 0 {
		return c.fail(command, pipe, wrong("only a function takes arguments"))
	}
	for i, argument := range command.Args {
		if err := c.operand(pipe, argument, i == 0); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) called(name string, given int) *problem {
	f, ok := c.functions[name]
	if !ok {
		return c.unknown(name)
	}
	if given < f.least || f.most != many && given > f.most {
		return wrong(fmt.Sprintf("%s has the wrong number of arguments, %d; it is used as %s", name, given, f.Usage))
	}
	return nil
}

func (c *checker) unknown(name string) *problem {
	names := slices.Sorted(maps.Keys(c.functions))
	suggestion := elsewhere(name)
	if suggestion == "" {
		suggestion = nearest(name, names)
	}
	reason := fmt.Sprintf("there is no function %s", oneLine(name))
	if suggestion == "" {
		return wrong(reason + "; there are " + strings.Join(names, ", "))
	}
	return wrong(reason + didYouMean(suggestion))
}

func (c *checker) operand(pipe *parse.PipeNode, node parse.Node, first bool) error {
	switch node := node.(type) {
	case *parse.PipeNode:
		return c.pipe(node)
	case *parse.ChainNode:
		return c.operand(pipe, node.Node, false)
	case *parse.IdentifierNode:
		if !first {
			return c.fail(node, pipe, wrong("a function among arguments stands in parentheses, with arguments of its own"))
		}
	case *parse.NumberNode:
		if !node.IsInt || strings.ContainsAny(node.Text, ".eEpPi") && !isHex(node.Text) && node.Text[0] != '\'' {
			return c.fail(node, pipe, wrong("numbers are whole, and have 64 bits"))
		}
	case *parse.NilNode:
		return c.fail(node, pipe, wrong("nil has no use here; ask with not or has"))
	}
	return nil
}

func isHex(number string) bool {
	return strings.HasPrefix(strings.ToLower(strings.TrimLeft(number, "+-")), "0x") && !strings.ContainsAny(number, "pP")
}

// refuseRecursion keeps templates from calling themselves: each call takes
// stack, and no loop of this kind is needed to write a file.
func (c *checker) refuseRecursion() error {
	done := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(c.calls)) {
		if err := c.follow(name, done, map[string]bool{}); err != nil {
			return err
		}
	}
	return nil
}

// follow walks the calls from a template; above are those on the way to it.
func (c *checker) follow(name string, done, above map[string]bool) error {
	if done[name] {
		return nil
	}
	above[name] = true
	for _, call := range c.calls[name] {
		if above[call.Name] {
			return c.fail(call, nil, wrong(fmt.Sprintf("the template %q calls itself, directly or through others; use range", oneLine(call.Name))))
		}
		if err := c.follow(call.Name, done, above); err != nil {
			return err
		}
	}
	delete(above, name)
	done[name] = true
	return nil
}
