//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The tests of this file disturb the injector, so nothing runs beside them.

func TestNoPodIsRefusedWhileTheInjectorIsRolled(t *testing.T) {
	p := installed(t)
	ns := newNamespace(t)
	l := newLoad(t, ns)
	l.more(t, 10)
	p.kubectl(t, "", "rollout", "restart", "deployment/kms-injector")
	p.awaitInjector(t)
	l.more(t, 10)
	l.stop()
	t.Logf("%d pods were created meanwhile", l.created)
	if l.refused != nil || l.naked != nil {
		t.Errorf("refused: %v; naked: %v", errors.Join(l.refused...), l.naked)
	}
}

// A ReplicaSet tries again, so in the end all its pods are there; each has its
// agent.
func TestNoPodOfAReplicaSetIsNakedWhenReplicasOfTheInjectorAreKilled(t *testing.T) {
	p := installed(t)
	for _, test := range []struct {
		name string
		kill func(*testing.T, *product, object)
	}{
		{"by a deletion that does not wait", func(t *testing.T, p *product, pod object) {
			p.kubectl(t, "", "delete", "pod", name(pod), "--grace-period=0", "--force", "--wait=false")
		}},
		{"by SIGKILL", func(t *testing.T, p *product, pod object) { killProcess(t, pod) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			ns := newNamespace(t)
			defer ns.kubectl(t, "", "delete", "replicasets,pods", "--all", "--grace-period=0", "--force")
			replicas := 60
			ns.create(t, replicaSet(replicas))
			for round, replica := range p.replicas(t) { // whichever of them the API server asks
				ns.awaitPods(t, replicas*round+replicas/3)
				test.kill(t, p, replica)
				ns.awaitPods(t, replicas*(round+1))
				p.awaitInjector(t)
				ns.kubectl(t, "", "scale", "replicaset/web", fmt.Sprintf("--replicas=%d", replicas*(round+2)))
			}
			ns.awaitPods(t, 3*replicas)
			for _, pod := range ns.list(t, "pods") {
				if !isInjected(pod) {
					t.Errorf("%s is naked", name(pod))
				}
			}
			t.Logf("creations that were refused and tried again: %d", len(ns.list(t, "events", "--field-selector=reason=FailedCreate")))
		})
	}
}

func replicaSet(replicas int) object {
	pod := asking("shop", gated(), with("restartPolicy", "Always"), func(metadata, _ object) {
		delete(metadata, "name")
		metadata["labels"] = object{"app": "web"}
	})
	return object{"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": object{"name": "web"}, "spec": object{
		"replicas": replicas, "selector": object{"matchLabels": object{"app": "web"}},
		"template": object{"metadata": pod["metadata"], "spec": pod["spec"]},
	}}
}

func (ns namespace) awaitPods(t *testing.T, least int) {
	t.Helper()
	await(t, func() error {
		if found := strings.Count(ns.kubectl(t, "", "get", "pods", "--output=name"), "\n"); found < least {
			return fmt.Errorf("there are %d pods of %d", found, least)
		}
		return nil
	})
}

// killProcess ends what runs in the container of a pod, as the machine knows it.
func killProcess(t *testing.T, pod object) {
	t.Helper()
	if !isOurNode() {
		t.Skip("the processes of this cluster are on other machines")
	}
	uid := fmt.Sprint(pod.at("metadata", "uid"))
	processes, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range processes {
		cgroup, _ := os.ReadFile(file)
		command, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "cmdline"))
		ofPod := bytes.Contains(bytes.ReplaceAll(cgroup, []byte("_"), []byte("-")), []byte(uid))
		if id, _ := strconv.Atoi(filepath.Base(filepath.Dir(file))); ofPod && bytes.HasPrefix(command, []byte("/usr/local/bin/kms-injector\x00")) {
			if err := syscall.Kill(id, syscall.SIGKILL); err != nil {
				t.Fatalf("kill the process of %s: %v", name(pod), err)
			}
			return
		}
	}
	t.Fatalf("%s has no process", name(pod))
}

// replicas are the pods of the injector that are to stay.
func (p *product) replicas(t *testing.T) (pods []object) {
	t.Helper()
	for _, pod := range p.list(t, "pods", "--selector=app=kms-injector") {
		if pod.at("metadata", "deletionTimestamp") == nil {
			pods = append(pods, pod)
		}
	}
	return pods
}

// awaitInjector waits until all replicas are there again.
func (p *product) awaitInjector(t *testing.T) {
	t.Helper()
	p.kubectl(t, "", "rollout", "status", "deployment/kms-injector", "--timeout=120s")
}

// load creates pods, twenty in a second, and takes them away again.
type load struct {
	stop func()

	mu      sync.Mutex
	created int
	refused []error
	naked   []string
}

func newLoad(t *testing.T, ns namespace) *load {
	t.Helper()
	api := ns.apiServer(t)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	l := &load{stop: func() { cancel(); running.Wait() }}
	t.Cleanup(l.stop)
	running.Go(func() {
		next := time.NewTicker(50 * time.Millisecond)
		defer next.Stop()
		for n := 0; ctx.Err() == nil; n++ {
			running.Go(func() { l.once(t.Context(), api, ns, fmt.Sprintf("app-%d", n)) })
			<-next.C
		}
	})
	return l
}

func (l *load) once(ctx context.Context, api *apiServer, ns namespace, name string) {
	pod, err := api.create(ctx, ns, asking("shop", gated(), named(name)), "")
	l.mu.Lock()
	switch {
	case err != nil:
		l.refused = append(l.refused, err)
	case !isInjected(pod):
		l.naked = append(l.naked, name)
	}
	if err == nil {
		l.created++
	}
	l.mu.Unlock()
	if err == nil {
		_ = api.remove(ctx, ns, pod) // what is left goes with the namespace
	}
}

// more waits for further pods.
func (l *load) more(t *testing.T, n int) {
	t.Helper()
	before := l.count()
	await(t, func() error {
		if now := l.count(); now < before+n {
			return fmt.Errorf("%d of %d pods have come to be", now-before, n)
		}
		return nil
	})
}

func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.created
}

// A pod from a time when no injector was asked about it runs without secrets:
// somebody has to say so.
func TestAPodThatCameToBeNakedGetsAnEventAndIsCounted(t *testing.T) {
	p := installed(t)
	ns := newNamespace(t)
	const place = "/webhooks/0/namespaceSelector/matchExpressions/0"
	patch := func(op string, value object) {
		text := fmt.Sprintf(`[{"op": %q, "path": %q, "value": {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": [%q]}}]`, op, place, ns.name)
		if op == "remove" {
			text = fmt.Sprintf(`[{"op": "test", "path": "%s/values/0", "value": %q}, {"op": "remove", "path": %q}]`, place, ns.name, place)
		}
		p.kubectl(t, "", "patch", "mutatingwebhookconfiguration", "kms-injector", "--type=json", "--patch="+text)
	}
	patch("add", nil)
	defer patch("remove", nil)
	await(t, func() error { // API servers learn of it a little later
		if isInjected(ns.create(t, asking("shop"), "--dry-run=server")) {
			return errors.New("the injector is still asked")
		}
		return nil
	})
	pod := ns.create(t, asking("shop", with("containers", []object{{"name": "app", "image": "localhost/busybox:1", "command": []string{"sleep", "1h"}}})))
	event := "event/kms-not-injected." + fmt.Sprint(pod.at("metadata", "uid"))
	ns.kubectl(t, "", "wait", "--for=create", "--timeout=60s", event)
	got := ns.get(t, event)
	if got["type"] != "Warning" || got["reason"] != "NotInjected" || got.at("involvedObject", "name") != "app" || !strings.Contains(fmt.Sprint(got["message"]), "delete the pod and create it anew") {
		t.Errorf("the Event is %v", got)
	}
	gauge := fmt.Sprintf("kms_injector_naked_pods{namespace=%q} ", ns.name)
	if metrics := p.metrics(t); !strings.Contains(metrics, gauge+"1\n") {
		t.Errorf("no replica has %s1", gauge)
	}
	ns.kubectl(t, "", "delete", "pod/app")
	await(t, func() error {
		if strings.Contains(p.metrics(t), gauge) {
			return fmt.Errorf("a replica still has %s", gauge)
		}
		return nil
	})
}

// metrics are those of all replicas.
func (p *product) metrics(t *testing.T) (all string) {
	t.Helper()
	for _, replica := range p.replicas(t) {
		all += p.kubectl(t, "", "get", "--raw", fmt.Sprintf("/api/v1/namespaces/%s/pods/%s:9090/proxy/metrics", home, name(replica)))
	}
	return all
}
