package inject_test

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/hanzoai/kms/agent/config"
	"github.com/hanzoai/kms/injector/internal/inject"
)

//go:embed testdata/reports-ca.pem
var reportsCA []byte

var settings = inject.Settings{Image: "ghcr.io/hanzoai/kms-agent:test", Rollouts: true,
	Reports: &inject.ReportSettings{URL: "https://kms-injector-reports.kms.svc:8444/report", CA: reportsCA}}

// the is a pod with the annotations that must be given, and more.
func the(annotations map[string]string, change ...func(*corev1.Pod)) *corev1.Pod {
	pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "web:1", Command: []string{"web"}}}}}
	pod.APIVersion, pod.Kind, pod.GenerateName = "v1", "Pod", "web-"
	pod.Annotations = map[string]string{"kms.hanzo.ai/inject": "true", "kms.hanzo.ai/project": "shop",
		"kms.hanzo.ai/env": "prod", "kms.hanzo.ai/auth-secret": "web-kms-auth"}
	for name, value := range annotations {
		if pod.Annotations["kms.hanzo.ai/"+name] = value; value == "-" {
			delete(pod.Annotations, "kms.hanzo.ai/"+name)
		}
	}
	pod.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsUser: new(int64(1000))}
	for _, c := range change {
		c(pod)
	}
	return pod
}

func encode(t testing.TB, value any) []byte {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func fromYAML(t testing.TB, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text, err = yaml.YAMLToJSONStrict(text)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return text
}

// injected injects the pod and gives it as it is then. It fails unless a second
// injection changes nothing.
func injected(t testing.TB, s inject.Settings, r inject.Request) (corev1.Pod, inject.Result) {
	t.Helper()
	result, err := inject.Inject(s, r)
	if err != nil {
		t.Fatal(err)
	}
	r.Pod = apply(t, r.Pod, result.Patch)
	unchanged(t, s, r)
	var pod corev1.Pod
	if err := json.Unmarshal(r.Pod, &pod); err != nil {
		t.Fatal(err)
	}
	checkConfigs(t, pod)
	return pod, result
}

func unchanged(t testing.TB, s inject.Settings, r inject.Request) {
	t.Helper()
	again, err := inject.Inject(s, r)
	if err != nil || again.Patch != nil {
		t.Fatalf("a second injection changes %s (%v)\nof %s", again.Patch, err, r.Pod)
	}
}

// denied are the problems for which the pod must not be.
func denied(t testing.TB, s inject.Settings, r inject.Request) []string {
	t.Helper()
	result, err := inject.Inject(s, r)
	var denied *inject.Denied
	if err != nil && !errors.As(err, &denied) {
		t.Fatal(err)
	}
	if denied == nil {
		return nil
	}
	if result.Patch != nil {
		t.Errorf("a pod that is denied has the patch %s", result.Patch)
	}
	return denied.Problems
}

// checkConfigs has the agent's own reader look at each configuration in the
// pod, after Kubernetes has put in what "$(NAME)" stands for.
func checkConfigs(t testing.TB, pod corev1.Pod) {
	t.Helper()
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		for _, e := range c.Env {
			if e.Name != "KMS_AGENT_CONFIG" {
				continue
			}
			if _, err := config.Parse([]byte(e.Value)); err != nil || strings.Contains(e.Value, "$") {
				t.Errorf("the configuration of %s: %v\n%s", c.Name, err, e.Value)
			}
		}
	}
}

func agentConfig(t testing.TB, result inject.Result) config.Config {
	t.Helper()
	c, err := config.Parse(result.Config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func find(t testing.TB, list []corev1.Container, name string) corev1.Container {
	t.Helper()
	at := slices.IndexFunc(list, func(c corev1.Container) bool { return c.Name == name })
	if at < 0 {
		t.Fatalf("there is no container %s", name)
	}
	return list[at]
}

func names(list []corev1.Container) (names []string) {
	for _, c := range list {
		names = append(names, c.Name)
	}
	return names
}

// apply applies a JSON patch as RFC 6902 has it: a parent that is missing is an
// error.
func apply(t testing.TB, pod, patch []byte) []byte {
	t.Helper()
	if patch == nil {
		return pod
	}
	var document any
	decoder := json.NewDecoder(bytes.NewReader(pod))
	decoder.UseNumber()
	if err := decoder.Decode(&document); err != nil {
		t.Fatal(err)
	}
	var operations []struct {
		Op, Path string
		Value    any
	}
	if err := json.Unmarshal(patch, &operations); err != nil {
		t.Fatal(err)
	}
	for _, o := range operations {
		path := strings.Split(o.Path, "/")[1:]
		var err error
		if document, err = applied(document, o.Op, path, o.Value); err != nil {
			t.Fatalf("%s %s: %v\nof %s", o.Op, o.Path, err, patch)
		}
	}
	return encode(t, document)
}

func applied(at any, op string, path []string, value any) (any, error) {
	if len(path) == 0 {
		return value, nil
	}
	name := strings.NewReplacer("~1", "/", "~0", "~").Replace(path[0])
	switch at := at.(type) {
	case map[string]any:
		before, found := at[name]
		if !found && (op != "add" || len(path) > 1) {
			return nil, fmt.Errorf("there is no %q", name)
		}
		if op == "remove" && len(path) == 1 {
			delete(at, name)
			return at, nil
		}
		after, err := applied(before, op, path[1:], value)
		at[name] = after
		return at, err
	case []any:
		if name == "-" && op == "add" && len(path) == 1 {
			return append(at, value), nil
		}
		i, err := strconv.Atoi(name)
		if err != nil || i < 0 || i >= len(at) || op == "add" && len(path) == 1 {
			return nil, fmt.Errorf("there is no element %q", name)
		}
		if op == "remove" && len(path) == 1 {
			return slices.Delete(at, i, i+1), nil
		}
		at[i], err = applied(at[i], op, path[1:], value)
		return at, err
	}
	return nil, fmt.Errorf("nothing is below %q", name)
}
