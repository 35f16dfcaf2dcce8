package httpapi

import (
	"net/http"
	"net/url"
	"strings"
)

// route is one row of the table.
type route struct {
	method  string
	pattern string // segments; {x} is any one segment, {x...} all the rest
	handle  func(*exchange) (any, error)
}

// node is one segment of the routes that begin alike. A literal segment goes
// before a parameter. The standard mux refuses a table in which two patterns
// can match the same path, as /workspace/{id}/environments and
// /workspace/environments/{id} do; this dialect has several such pairs.
type node struct {
	literal map[string]*node
	param   *node
	rest    *node
	methods map[string]*route
}

func (n *node) add(r route) {
	for _, segment := range strings.Split(strings.TrimPrefix(r.pattern, "/"), "/") {
		n = n.child(segment)
	}
	if n.methods == nil {
		n.methods = map[string]*route{}
	}
	if n.methods[r.method] != nil {
		panic("two routes for " + r.method + " " + r.pattern)
	}
	n.methods[r.method] = &r
}

func (n *node) child(segment string) *node {
	slot := &n.param
	switch {
	case strings.HasSuffix(segment, "...}"):
		slot = &n.rest
	case !strings.HasPrefix(segment, "{"):
		if n.literal == nil {
			n.literal = map[string]*node{}
		}
		if n.literal[segment] == nil {
			n.literal[segment] = &node{}
		}
		return n.literal[segment]
	}
	if *slot == nil {
		*slot = &node{}
	}
	return *slot
}

// find gives the route of an escaped path and the values of its parameters;
// known tells that the path has a route with another method.
func (n *node) find(method, path string) (found *route, params map[string]string, known bool) {
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	found, known = n.match(method, segments)
	if found == nil {
		return nil, nil, known
	}
	return found, found.params(segments), true
}

func (n *node) match(method string, segments []string) (found *route, known bool) {
	if len(segments) == 0 {
		return n.methods[method], len(n.methods) > 0
	}
	for _, next := range []*node{n.literal[segments[0]], n.param} {
		if next == nil {
			continue
		}
		r, k := next.match(method, segments[1:])
		if r != nil {
			return r, true
		}
		known = known || k
	}
	if n.rest != nil && n.rest.methods[method] != nil {
		return n.rest.methods[method], true
	}
	return nil, known || n.rest != nil
}

// allowed lists the methods that a path has, sorted; HEAD goes with GET.
func (n *node) allowed(path string) []string {
	var all []string
	for _, method := range []string{http.MethodDelete, http.MethodGet, http.MethodPatch, http.MethodPost, http.MethodPut} {
		if found, _, _ := n.find(method, path); found != nil {
			all = append(all, method)
			if method == http.MethodGet {
				all = append(all, http.MethodHead)
			}
		}
	}
	return all
}

func (r *route) params(segments []string) map[string]string {
	params := map[string]string{}
	for i, name := range strings.Split(strings.TrimPrefix(r.pattern, "/"), "/") {
		if !strings.HasPrefix(name, "{") {
			continue
		}
		name = strings.Trim(name, "{}")
		if rest, ok := strings.CutSuffix(name, "..."); ok {
			params[rest] = unescape(strings.Join(segments[i:], "/"))
			break
		}
		params[name] = unescape(segments[i])
	}
	return params
}

// unescape gives a segment in plain; canonicalPath has seen that it can.
func unescape(segment string) string {
	plain, err := url.PathUnescape(segment)
	if err != nil {
		return segment
	}
	return plain
}
