//go:build e2e

package e2e_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
)

// gate stands between pods and the server, and can stand in the way: an outage
// of the server that only one namespace sees.
type gate struct {
	url string // for pods

	mu       sync.Mutex
	standsIn http.HandlerFunc // answers in the server's place; nil lets all through
	over     chan struct{}    // closed when something else stands in
}

// newGate makes a gate, with a Service in the namespace that leads to it.
func newGate(t *testing.T, p *product, ns namespace) *gate {
	t.Helper()
	return newNamedGate(t, p, ns, "gate")
}

// newNamedGate is for namespaces with several.
func newNamedGate(t *testing.T, p *product, ns namespace, name string) *gate {
	t.Helper()
	if !isOurNode() {
		t.Skip("the pods of this cluster do not reach this process")
	}
	target, err := url.Parse(p.url)
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{url: fmt.Sprintf("http://%s.%s.svc", name, ns.name), over: make(chan struct{})}
	through := httputil.NewSingleHostReverseProxy(target)
	listener, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		standsIn := g.standsIn
		g.mu.Unlock()
		if standsIn == nil {
			standsIn = through.ServeHTTP
		}
		standsIn(w, r)
	}))
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	ns.apply(t, fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: %[1]s}
spec: {ports: [{name: http, port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %[1]s, labels: {kubernetes.io/service-name: %[1]s}}
addressType: IPv4
ports: [{name: http, port: %[2]d}]
endpoints: [{addresses: [%[3]q]}]
`, name, listener.Addr().(*net.TCPAddr).Port, nodeAddress(t, ns)))
	return g
}

// nodeAddress is where pods reach this process.
func nodeAddress(t *testing.T, ns namespace) string {
	t.Helper()
	return ns.kubectl(t, "", "get", "nodes", "--output=jsonpath={.items[0].status.addresses[?(@.type=='InternalIP')].address}")
}

// answer puts something in the server's place, until open.
func (g *gate) answer(standsIn http.HandlerFunc) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.standsIn = standsIn
	close(g.over)
	g.over = make(chan struct{})
}

// shut answers everything with a status.
func (g *gate) shut(status int) {
	g.answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
}

// hangUp ends every connection without a word.
func (g *gate) hangUp() {
	g.answer(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
}

// hang takes every question and says nothing, until something else stands in.
func (g *gate) hang() {
	g.answer(func(_ http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		over := g.over
		g.mu.Unlock()
		select {
		case <-over:
		case <-r.Context().Done():
		}
		panic(http.ErrAbortHandler)
	})
}

func (g *gate) open() { g.answer(nil) }
