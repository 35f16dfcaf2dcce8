package main_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	injector "github.com/hanzoai/kms/injector"
	"github.com/hanzoai/kms/internal/app"
)

var update = flag.Bool("update", false, "write testdata/*.yaml anew")

// render runs the command with a manifest in a file.
func render(t testing.TB, manifest string, flags ...string) (stdout, stderr string, code int) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "manifest.yaml")
	if err := os.WriteFile(file, []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	return run(append([]string{"render", "-image", "ghcr.io/hanzoai/kms-agent:test", "-reports-url", "https://kms-injector-reports.kms.svc:8444/report", "-rollouts", "-f", file}, flags...)...)
}

func run(args ...string) (stdout, stderr string, code int) {
	var out, messages bytes.Buffer
	err := injector.Run(context.Background(), args, &out, &messages)
	var coded interface{ ExitCode() int }
	var answer *app.Answer
	switch {
	case errors.As(err, &answer):
		return answer.Text, "", 0
	case errors.As(err, &coded):
		code = coded.ExitCode()
	case err != nil:
		code = 1
	}
	if err != nil {
		messages.WriteString(err.Error())
	}
	return out.String(), messages.String(), code
}

// ownWarnings are what there is to say about examples.
var ownWarnings = map[string]string{
	"files-sighup.yaml": "warning: Deployment/web: kms.hanzo.ai/share-process-namespace: all containers of the pod see each other's processes\n",
}

func TestEveryExampleRendersToTheSameBytesAndIsThenDone(t *testing.T) {
	files, err := filepath.Glob("../examples/pod-annotations/*.yaml")
	if err != nil || len(files) < 10 {
		t.Fatalf("there are %d examples: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			manifest := read(t, file)
			first, messages, code := render(t, manifest)
			if diff := cmp.Diff(ownWarnings[filepath.Base(file)], messages); diff != "" || code != 0 {
				t.Fatalf("exit code %d, messages (-want +got):\n%s", code, diff)
			}
			if !strings.Contains(first, " name: kms-secrets\n") || !strings.Contains(first, "ghcr.io/hanzoai/kms-agent:test") {
				t.Errorf("nothing is injected:\n%s", first)
			}
			again, _, _ := render(t, manifest)
			rendered, _, _ := render(t, first)
			if diff := cmp.Diff(first, again) + cmp.Diff(first, rendered); diff != "" {
				t.Error(diff)
			}
			checkGolden(t, file, first)
		})
	}
}

// checkGolden compares what has a file in testdata.
func checkGolden(t *testing.T, example, got string) {
	t.Helper()
	file := filepath.Join("testdata", filepath.Base(example))
	if _, err := os.Stat(file); err != nil {
		return
	}
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(read(t, file), got); diff != "" {
		t.Errorf("%s (-want +got), write it anew with -update if this is right:\n%s", file, diff)
	}
}

func read(t testing.TB, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

const asking = `apiVersion: v1
kind: Pod
metadata:
  name: web
  annotations: {kms.hanzo.ai/inject: "true", kms.hanzo.ai/auth-secret: a, kms.hanzo.ai/project: shop}
spec:
  securityContext: {runAsUser: 1000}
  containers: [{name: web, image: web:1}]
`

func TestFlagsAreTheSettingsOfTheInjector(t *testing.T) {
	pod := strings.Replace(asking, "project: shop", "project: shop, kms.hanzo.ai/env: prod", 1)
	for _, test := range []struct {
		manifest string
		flags    []string
		want     string
	}{
		{asking, []string{"-namespace-annotations", `{"kms.hanzo.ai/env":"prod"}`}, `"environment":"prod"`},
		{asking, []string{"-defaults", "{env: prod, secret-all.json: A}"}, `"environment":"prod"`},
		{pod, []string{"-image", "mirror/agent:1"}, "image: mirror/agent:1\n"},
		{pod, []string{"-image-pull-policy", "Always"}, "imagePullPolicy: Always\n"},
		{pod, []string{"-server", "https://kms.example.com"}, `"server":"https://kms.example.com"`},
		{strings.Replace(pod, "shop,", "shop, kms.hanzo.ai/server: https://kms.example.com,", 1),
			[]string{"-servers", "https://kms.example.com"}, `"server":"https://kms.example.com"`},
		{pod, []string{"-classic-sidecars"}, "name: kms-agent-init\n"},
		{strings.Replace(pod, "runAsUser: 1000", "", 1), []string{"-openshift"}, "runAsNonRoot: true\n"},
	} {
		out, messages, code := render(t, test.manifest, test.flags...)
		if !strings.Contains(out, test.want) || code != 0 {
			t.Errorf("%s: %d %s\n%s", test.flags, code, messages, out)
		}
	}
}

func TestAPodThatIsDeniedIsExplainedAndNothingIsPrinted(t *testing.T) {
	out, messages, code := render(t, "kind: ConfigMap\napiVersion: v1\n---\n"+strings.Replace(asking, "shop", "shop, kms.hanzo.ai/inject-: x", 1))
	want := "warning: Pod/web: there is no annotation kms.hanzo.ai/inject-\n" +
		"denied: Pod/web: kms.hanzo.ai/env: is missing: give the environment's slug, on the pod, its namespace or the profile\n"
	if diff := cmp.Diff(want, strings.ReplaceAll(messages, ": did you mean inject?", "")); diff != "" || out != "" || code != 1 {
		t.Errorf("exit code %d, messages (-want +got):\n%s\nprinted %s", code, diff, out)
	}
}

func TestMessagesDoNotSteerTheTerminal(t *testing.T) {
	_, messages, _ := render(t, strings.Replace(asking, "name: web", `name: "a\eb"`, 1))
	if !strings.HasPrefix(messages, "denied: Pod/a?b: ") {
		t.Errorf("%q", messages)
	}
}

func TestTheStandardInputIsReadWithoutAFile(t *testing.T) {
	for _, args := range [][]string{{"render"}, {"render", "-f", "-"}} {
		in, err := os.Open("../examples/pod-annotations/job.yaml")
		if err != nil {
			t.Fatal(err)
		}
		stdin := os.Stdin
		os.Stdin = in
		out, messages, code := run(args...)
		os.Stdin = stdin
		in.Close()
		if !strings.Contains(out, "name: kms-agent\n") || code != 0 {
			t.Errorf("%s: %d %s", args, code, messages)
		}
	}
}

func TestABadCommandLineIsCodeTwo(t *testing.T) {
	for _, test := range []struct {
		args []string
		want string
	}{
		{nil, "say what to do"},
		{[]string{"inject"}, "there is no such command"},
		{[]string{"render", "-imag", "x"}, "did you mean -image?"},
		{[]string{"render", "pod.yaml"}, "argument 1 is not a flag"},
		{[]string{"render", "-image", ""}, "-image: must be"},
		{[]string{"render", "-image-pull-policy", "Sometimes"}, "Always, IfNotPresent or Never"},
		{[]string{"render", "-defaults", "{pol-interval: 1s}"}, `"pol-interval" cannot be a default`},
		{[]string{"render", "-defaults", `{inject: "true"}`}, `"inject" cannot be a default`},
		{[]string{"serve"}, "-namespace: must be the namespace"},
		{[]string{"serve", "-namespace=kms", "-rollouts"}, "-rollouts: needs -reports-listen"},
		{[]string{"serve", "-namespace=kms", "-reports-listen=8444"}, "-reports-listen: must be HOST:PORT"},
		{[]string{"serve", "-namespace=kms", "-drain=-1s", "-image="}, "-drain: must not be negative"},
		{[]string{"serve", "-namespace=kms", "-drain=-1s", "-image="}, "-image: must be"},
		{[]string{"render", "-namespace-annotations", "env=prod"}, "-namespace-annotations: must be an object"},
		{[]string{"render", "-namespace-annotations", "{a: [1]}", "-openshift=perhaps"}, "-namespace-annotations: must be an object"},
	} {
		if _, messages, code := run(test.args...); code != 2 || !strings.Contains(messages, test.want) {
			t.Errorf("%s: %d %s", test.args, code, messages)
		}
	}
}

func TestAFileThatCannotBeReadIsCodeOne(t *testing.T) {
	if _, messages, code := run("render", "-f", filepath.Join(t.TempDir(), "x")); code != 1 || !strings.HasPrefix(messages, "read the manifests: open ") {
		t.Errorf("%d %s", code, messages)
	}
	if out, messages, code := render(t, "a: [\n"); code != 1 || out != "" || !strings.HasPrefix(messages, "document 1 is not YAML: ") {
		t.Errorf("%d %s %s", code, messages, out)
	}
}

func TestHelpTeaches(t *testing.T) {
	for args, want := range map[string]string{
		"-h":        "kms-injector render [-f FILE]",
		"render -h": "helm template . | kms-injector render",
		"serve -h":  "-secret-warnings",
		"version":   "kms-injector ",
	} {
		if out, _, code := run(strings.Fields(args)...); code != 0 || !strings.Contains(out, want) {
			t.Errorf("%s: %d %s", args, code, out)
		}
	}
}
