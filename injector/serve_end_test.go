package main_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// balance stands before replicas as a Service does: a new connection goes to
// one that is ready, and stays there.
func balance(t testing.TB, replicas ...*replica) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			from, err := listener.Accept()
			if err != nil {
				return
			}
			go forward(from, replicas)
		}
	}()
	return listener.Addr().String()
}

func forward(from net.Conn, replicas []*replica) {
	defer from.Close()
	for _, r := range replicas {
		if r.probe("/readyz") != nil {
			continue
		}
		to, err := net.Dial("tcp", r.Webhooks)
		if err != nil {
			continue
		}
		defer to.Close()
		go func() { _, _ = io.Copy(to, from); to.Close() }()
		_, _ = io.Copy(from, to)
		return
	}
}

// load creates pods until it is told to stop.
type load struct {
	created atomic.Int64
	mu      sync.Mutex // guards what follows
	naked   []string
	refused []error
	stop    func()
}

func (c *cluster) load(t testing.TB) *load {
	var running sync.WaitGroup
	var stopped atomic.Bool
	l := &load{}
	l.stop = func() { stopped.Store(true); running.Wait() }
	t.Cleanup(l.stop)
	ctx := t.Context()
	for range 4 {
		running.Go(func() {
			for !stopped.Load() {
				pod := c.pod(nil)
				err := c.Create(ctx, pod)
				l.note(pod, err)
			}
		})
	}
	return l
}

func (l *load) note(pod *corev1.Pod, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil:
		l.refused = append(l.refused, err)
	case !isInjected(pod):
		l.naked = append(l.naked, pod.Name)
	}
	if err == nil {
		l.created.Add(1)
	}
}

// more waits for further pods.
func (l *load) more(t testing.TB, n int64) {
	t.Helper()
	before := l.created.Load()
	await(t, func() error {
		if l.created.Load() < before+n {
			return errors.New("no more pods come to be")
		}
		return nil
	})
}

// injected counts what a replica did.
func (r *replica) injected(t testing.TB) string {
	t.Helper()
	_, metrics, err := r.get("/metrics")
	must(t, err)
	for line := range strings.Lines(metrics) {
		if count, found := strings.CutPrefix(line, `kms_injector_decisions_total{decision="injected",webhook="pods"} `); found {
			return strings.TrimSpace(count)
		}
	}
	return ""
}

func (r *replica) signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	must(t, r.process.Signal(s))
}

// code is that of a process that has ended.
func code(err error) int {
	if ended := new(exec.ExitError); errors.As(err, &ended) {
		return ended.ExitCode()
	}
	return 0
}

func TestAReplicaThatEndsRefusesNoPod(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	first, second := c.start(t, "-drain=2s"), c.start(t)
	c.register(t, balance(t, first, second))
	l := c.load(t)
	l.more(t, 20)
	if first.injected(t) == "0" || second.injected(t) != "0" {
		t.Fatalf("%s and %s", first.injected(t), second.injected(t))
	}
	first.signal(t, syscall.SIGTERM)
	if err := <-first.ended; err != nil {
		t.Errorf("it ended with %v", err)
	}
	l.more(t, 20)
	l.stop()
	if len(l.refused)+len(l.naked) > 0 {
		t.Errorf("of %d pods %d were refused (%v), and naked are %v", l.created.Load(), len(l.refused), errors.Join(l.refused...), l.naked)
	}
	if second.injected(t) == "0" {
		t.Error("the second replica was not asked")
	}
}

// An API server keeps its connection for as long as it may.
func TestAPIServersLeaveAReplicaThatIsAboutToEnd(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	first, second := c.start(t, "-drain=1h"), c.start(t)
	c.register(t, balance(t, first, second))
	must(t, c.Create(t.Context(), c.pod(nil)))
	if first.injected(t) != "1" {
		t.Fatal("the first replica was not asked")
	}
	first.signal(t, syscall.SIGTERM)
	await(t, func() error {
		must(t, c.Create(t.Context(), c.pod(nil)))
		if second.injected(t) == "0" {
			return errors.New("the second replica is not asked")
		}
		return nil
	})
}

func TestNoPodComesToBeNakedWhenAReplicaIsKilled(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	first, second := c.start(t), c.start(t)
	c.register(t, balance(t, first, second))
	l := c.load(t)
	l.more(t, 20)
	first.signal(t, syscall.SIGKILL)
	<-first.ended
	l.more(t, 20)
	l.stop()
	if len(l.naked) > 0 {
		t.Errorf("naked are %v", l.naked)
	}
}

func TestAReplicaIsNotReadyFromTheFirstSignalOnAndEndsAtTheSecond(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	r := c.start(t, "-drain=1h")
	c.register(t, r.Webhooks)
	r.signal(t, syscall.SIGTERM)
	await(t, func() error {
		if status, text, err := r.get("/readyz"); err != nil || status != http.StatusServiceUnavailable || text != "this replica is about to end\n" {
			return fmt.Errorf("%d %s %w", status, text, err)
		}
		return nil
	})
	must(t, r.probe("/healthz"))
	pod := c.pod(nil)
	if err := c.Create(t.Context(), pod); err != nil || !isInjected(pod) {
		t.Error(err)
	}
	r.signal(t, syscall.SIGTERM)
	if err := <-r.ended; code(err) != 128+int(syscall.SIGTERM) {
		t.Errorf("it ended with %v", err)
	}
}

// The pods that are naked are those that the leader counts.
func TestAReplicaThatEndsLeavesTheLeadToAnother(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	must(t, c.Create(t.Context(), c.pod(nil)))
	leads := func(r *replica) func() error {
		return func() error {
			if _, metrics, err := r.get("/metrics"); err != nil || !strings.Contains(metrics, `kms_injector_naked_pods{namespace="`+c.namespace) {
				return fmt.Errorf("it does not lead: %w", err)
			}
			return nil
		}
	}
	first := c.start(t, "-drain=0")
	await(t, leads(first))
	second := c.start(t)
	if leads(second)() == nil {
		t.Error("both lead")
	}
	first.signal(t, syscall.SIGTERM)
	<-first.ended
	await(t, leads(second))
	if text := first.log.String(); !strings.Contains(text, "this replica does not lead any more") {
		t.Error(text)
	}
}

func TestAReplicaThatCannotReachTheClusterIsNotReady(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.config.Host = "https://127.0.0.1:1"
	r := c.begin(t)
	if status, text, err := r.get("/readyz"); err != nil || status != http.StatusServiceUnavailable || text != "the namespaces of the cluster are not read yet\n" {
		t.Errorf("%d %s %v", status, text, err)
	}
	must(t, r.probe("/healthz"))
	r.signal(t, syscall.SIGTERM)
	<-r.ended
}
