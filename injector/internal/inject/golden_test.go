package inject_test

import (
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/hanzoai/kms/injector/internal/inject"
)

var update = flag.Bool("update", false, "write testdata/*.injected.yaml anew")

// A file testdata/NAME.yaml is a pod, and NAME.injected.yaml the same pod with
// what the injector gives it. Names begin with the kind of cluster where that
// matters.
func TestPodsBecomeWhatTheirFilesShow(t *testing.T) {
	for name, pod := range goldenPods(t) {
		t.Run(name, func(t *testing.T) {
			s := settings
			s.ClassicSidecars, s.OpenShift = strings.HasPrefix(name, "classic-"), strings.HasPrefix(name, "openshift-")
			after, result := injected(t, s, inject.Request{Pod: pod, Operation: "CREATE"})
			checkRestricted(t, after)
			checkGolden(t, filepath.Join("testdata", name+".injected.yaml"), apply(t, pod, result.Patch), result.Warnings)
		})
	}
}

func goldenPods(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no pods: %v", err)
	}
	pods := map[string][]byte{}
	for _, file := range files {
		if name := strings.TrimSuffix(filepath.Base(file), ".yaml"); !strings.HasSuffix(name, ".injected") {
			pods[name] = fromYAML(t, file)
		}
	}
	return pods
}

func checkGolden(t *testing.T, file string, pod []byte, warnings []string) {
	t.Helper()
	text, err := yaml.JSONToYAML(pod)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range warnings {
		text = append([]byte("# warning: "+w+"\n"), text...)
	}
	if *update {
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(text)); diff != "" {
		t.Errorf("%s (-want +got), write it anew with -update if this is right:\n%s", file, diff)
	}
}

func TestTheSamePodGivesTheSameBytesAThousandTimes(t *testing.T) {
	pods := goldenPods(t)
	for name, pod := range pods {
		first, _ := inject.Inject(settings, inject.Request{Pod: pod})
		for range 1000 / len(pods) {
			next, err := inject.Inject(settings, inject.Request{Pod: pod})
			if diff := cmp.Diff(first, next); diff != "" || err != nil {
				t.Fatalf("%s: %v\n%s", name, err, diff)
			}
		}
	}
}

// Examples are read by people and used by them: what is said of them holds.
func TestEveryExampleIsInjectedAndPassesTheRestrictedStandard(t *testing.T) {
	files, err := filepath.Glob("../../../examples/pod-annotations/*.yaml")
	if err != nil || len(files) < 10 {
		t.Fatalf("there are %d examples: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			checkExample(t, file)
		})
	}
}

// ownWarnings are what the injector has to say about examples.
var ownWarnings = map[string][]string{
	"files-sighup.yaml": {"kms.hanzo.ai/share-process-namespace: all containers of the pod see each other's processes"},
}

func checkExample(t *testing.T, file string) {
	request := exampleRequest(t, file)
	pod, result := injected(t, settings, request)
	checkRestricted(t, pod)
	if diff := cmp.Diff(ownWarnings[filepath.Base(file)], result.Warnings); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	if result.Patch == nil {
		t.Error("nothing is injected")
	}
	for _, c := range pod.Spec.InitContainers {
		if c.Name == "istio-proxy" && slices.ContainsFunc(c.VolumeMounts, isFiles) {
			t.Error("the proxy of the mesh gets secrets")
		}
	}
}

func isFiles(m corev1.VolumeMount) bool { return m.Name == "kms-secrets" }

// exampleRequest is the pod of an example as an API server would ask about it,
// with the namespace and the profile that the example holds.
func exampleRequest(t *testing.T, file string) (r inject.Request) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for document := range strings.SplitSeq(string(text), "\n---\n") {
		var object struct {
			Kind     string
			Metadata struct{ Annotations map[string]string }
			Data     map[string]string
			Spec     struct {
				Template    json.RawMessage
				JobTemplate struct {
					Spec struct{ Template json.RawMessage }
				}
			}
		}
		if err := yaml.Unmarshal([]byte(document), &object); err != nil {
			t.Fatal(err)
		}
		switch object.Kind {
		case "Namespace":
			r.Namespace = object.Metadata.Annotations
		case "ConfigMap":
			r.Profile = maps.Clone(object.Data)
		case "CronJob":
			r.Pod = object.Spec.JobTemplate.Spec.Template
		default:
			r.Pod = object.Spec.Template
		}
	}
	if profile(t, r.Pod, r.Namespace) == "" {
		r.Profile = nil
	}
	return r
}
