//go:build e2e

package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// burst is how many pods are created at once; KMS_E2E_PODS gives another number
// where the node is shared.
const burst = 100

// figure is one that was measured, beside what is aimed at.
type figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	Aim   float64 `json:"aim,omitempty"` // at most
}

// Figures are printed and, as JSON, written to the file in KMS_E2E_FIGURES.
// They depend on the machine, so none is held to its aim here: that no pod
// fails, and none is naked, is.
func TestAHundredPodsAtOnceStartAndTheFiguresAreKept(t *testing.T) {
	s := newScene(t)
	ns, project, value := s.namespace, s.project.Slug, s.value
	ns.create(t, asking(project, named("rests"), staying()))
	ns.wait(t, "pod/rests", "condition=Ready")
	var figures []figure
	for _, measure := range []func(*testing.T, namespace, string) []figure{measureAdmission, measureStart, measureMemory} {
		figures = append(figures, measure(t, ns, project)...)
	}
	figures = append(figures, measureBurst(t, ns, project, value)...)
	for _, f := range figures {
		t.Logf("%-55s %10.2f %-4s aim %g", f.Name, f.Value, f.Unit, f.Aim)
	}
	keep(t, figures)
}

func keep(t *testing.T, figures []figure) {
	t.Helper()
	load, _ := os.ReadFile("/proc/loadavg")
	t.Logf("on %d cores, load averages %s", runtime.NumCPU(), load)
	file := os.Getenv("KMS_E2E_FIGURES")
	if file == "" {
		return
	}
	text, err := json.MarshalIndent(object{"cores": runtime.NumCPU(), "load": strings.TrimSpace(string(load)), "figures": figures}, "", "  ")
	if err == nil {
		err = os.WriteFile(file, append(text, '\n'), 0o644)
	}
	if err != nil {
		t.Errorf("keep the figures: %v", err)
	}
}

// measureAdmission creates 100 pods a second, whether or not earlier ones are
// done. Nothing is written, so what remains is admission.
func measureAdmission(t *testing.T, ns namespace, project string) (figures []figure) {
	api := ns.apiServer(t)
	for _, kind := range []struct {
		name, inject string
		aim          float64
	}{{"plain", "false", 0}, {"injected", "true", 10}} {
		took := make([]float64, 600)
		var running sync.WaitGroup
		next := time.NewTicker(10 * time.Millisecond)
		for i := range took {
			<-next.C
			running.Go(func() {
				began := time.Now()
				pod, err := api.create(t.Context(), ns, asking(project, annotated("inject", kind.inject)), "?dryRun=All")
				took[i] = float64(time.Since(began).Microseconds()) / 1000
				if err != nil || isInjected(pod) != (kind.inject == "true") {
					t.Errorf("a %s pod: injected %v, %v", kind.name, isInjected(pod), err)
				}
			})
		}
		running.Wait()
		next.Stop()
		figures = append(figures, figure{"creation at 100 a second, " + kind.name + ", p50", quantile(took, 0.5), "ms", 0},
			figure{"creation at 100 a second, " + kind.name + ", p99", quantile(took, 0.99), "ms", kind.aim})
	}
	return figures
}

func quantile(list []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[int(float64(len(sorted)-1)*q)]
}

// measureStart takes the time from the creation of a pod to the first line of
// its application, by turns without and with the agent.
func measureStart(t *testing.T, ns namespace, project string) []figure {
	api := ns.apiServer(t)
	took := map[string][]float64{}
	greets := with("containers", []object{{"name": "app", "image": "localhost/busybox:1", "command": []string{"echo", "started"}}})
	for i := range 7 {
		for _, inject := range []string{"false", "true"} {
			pod := fmt.Sprintf("start-%d-%s", i, inject)
			began := time.Now()
			if _, err := api.create(t.Context(), ns, asking(project, named(pod), annotated("inject", inject), greets), ""); err != nil {
				t.Fatal(err)
			}
			ns.wait(t, "pod/"+pod, "jsonpath={.status.phase}=Succeeded")
			stamp, _, _ := strings.Cut(ns.kubectl(t, "", "logs", pod, "--container=app", "--timestamps"), " ")
			started, err := time.Parse(time.RFC3339Nano, stamp)
			if err != nil {
				t.Fatal(err)
			}
			took[inject] = append(took[inject], started.Sub(began).Seconds())
		}
	}
	plain, injected := quantile(took["false"], 0.5), quantile(took["true"], 0.5)
	return []figure{{"start of a pod, plain, median", plain, "s", 0}, {"start of a pod, injected, median", injected, "s", 0},
		{"what the native sidecar adds to it", injected - plain, "s", 1.5}}
}

// measureMemory asks the kubelet, whose working set leaves out pages of files
// that nobody used lately.
func measureMemory(t *testing.T, ns namespace, _ string) []figure {
	node := ns.kubectl(t, "", "get", "pod/rests", "--output=jsonpath={.spec.nodeName}")
	var bytes float64
	await(t, func() error {
		bytes = workingSet(t, ns, node)
		if bytes == 0 {
			return fmt.Errorf("the kubelet on %s has no figures of the agent yet", node)
		}
		return nil
	})
	return []figure{{"working set of the agent's container", bytes / (1 << 20), "MiB", 16}}
}

func workingSet(t *testing.T, ns namespace, node string) (bytes float64) {
	t.Helper()
	var summary struct {
		Pods []struct {
			PodRef     struct{ Name, Namespace string }
			Containers []struct {
				Name   string
				Memory struct{ WorkingSetBytes float64 }
			}
		}
	}
	text := ns.kubectl(t, "", "get", "--raw", "/api/v1/nodes/"+node+"/proxy/stats/summary")
	if err := json.Unmarshal([]byte(text), &summary); err != nil {
		t.Fatal(err)
	}
	for _, pod := range summary.Pods {
		for _, c := range pod.Containers {
			if pod.PodRef.Namespace == ns.name && pod.PodRef.Name == "rests" && c.Name == "kms-agent" {
				bytes = c.Memory.WorkingSetBytes
			}
		}
	}
	return bytes
}

// measureBurst creates many pods at the same moment. Each has to read its
// secret and end well.
func measureBurst(t *testing.T, ns namespace, project, value string) []figure {
	pods, api := burst, ns.apiServer(t)
	if text := os.Getenv("KMS_E2E_PODS"); text != "" {
		var err error
		if pods, err = strconv.Atoi(text); err != nil {
			t.Fatalf("KMS_E2E_PODS must be a number of pods: %v", err)
		}
	}
	began := time.Now()
	var creating sync.WaitGroup
	for i := range pods {
		creating.Go(func() {
			labelled := func(metadata, _ object) { metadata["labels"] = object{"burst": "true"} }
			pod, err := api.create(t.Context(), ns, asking(project, named(fmt.Sprintf("burst-%d", i)), labelled), "")
			if err != nil || !isInjected(pod) {
				t.Errorf("pod %d: injected %v, %v", i, isInjected(pod), err)
			}
		})
	}
	creating.Wait()
	ns.kubectl(t, "", "wait", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=10m", "pod", "--selector=burst")
	took := time.Since(began).Seconds()
	for i := range pods {
		log, err := api.call(t.Context(), http.MethodGet, fmt.Sprintf("%s/burst-%d/log?container=app", ns.pods(), i), nil)
		if err != nil || !strings.HasPrefix(string(log), fingerprint(value)) {
			t.Errorf("pod %d printed %q, %v", i, log, err)
		}
	}
	ns.kubectl(t, "", "delete", "pods", "--selector=burst", "--wait=false")
	return []figure{{fmt.Sprintf("%d pods at once, until the last has ended", pods), took, "s", 0}}
}
