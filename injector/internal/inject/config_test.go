package inject_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/hanzoai/kms/agent/config"
	"github.com/hanzoai/kms/injector/internal/inject"
)

// part is a configuration of which only what a test looks at is left.
func part(c config.Config) config.Config {
	for i := range c.Sources {
		c.Sources[i].Project, c.Sources[i].Environment = "", ""
	}
	for i := range c.Outputs {
		c.Outputs[i].OnMissing = ""
	}
	return config.Config{Sources: c.Sources, Outputs: c.Outputs}
}

func TestWhatAnnotationsSayIsWhatTheAgentReadsAndWrites(t *testing.T) {
	root := config.Source{Path: "/"}
	for _, test := range []struct {
		name        string
		annotations map[string]string
		want        config.Config
	}{
		{"everything of the top folder", nil, config.Config{Sources: []config.Source{root}}},
		{"several folders", map[string]string{"path": "/a, /b/c"}, config.Config{Sources: []config.Source{{Path: "/a"}, {Path: "/b/c"}}}},
		{"with what is below", map[string]string{"path": "/a", "recursive": "true"}, config.Config{Sources: []config.Source{{Path: "/a", Recursive: true}}}},
		{"some keys", map[string]string{"keys": "A, B"}, config.Config{Sources: []config.Source{{Path: "/", Keys: []string{"A", "B"}}}}},

		{"a key of another folder alone", map[string]string{"secret-x": "/db/K"}, config.Config{
			Sources: []config.Source{{Path: "/db", Keys: []string{"K"}}}, Outputs: []config.Output{{Format: "files", Keys: []string{"K"}}}}},
		{"a key of another folder too", map[string]string{"path": "/a", "secret-x": "/db/K"}, config.Config{
			Sources: []config.Source{{Path: "/a"}, {Path: "/db", Keys: []string{"K"}}}, Outputs: []config.Output{{Format: "files", Keys: []string{"K"}}}}},
		{"a key of a folder that is read", map[string]string{"path": "/a/", "secret-x": "/a/K,L"}, config.Config{
			Sources: []config.Source{{Path: "/a/"}}, Outputs: []config.Output{{Format: "files", Keys: []string{"K", "L"}}}}},
		{"a key below a folder that is read", map[string]string{"path": "/a", "recursive": "true", "secret-x": "/a/b/K"}, config.Config{
			Sources: []config.Source{{Path: "/a", Recursive: true}}, Outputs: []config.Output{{Format: "files", Keys: []string{"K"}}}}},
		{"a folder whose name only begins like it", map[string]string{"path": "/a", "recursive": "true", "secret-x": "/ab/K"}, config.Config{
			Sources: []config.Source{{Path: "/a", Recursive: true}, {Path: "/ab", Keys: []string{"K"}}}, Outputs: []config.Output{{Format: "files", Keys: []string{"K"}}}}},
		{"two outputs of one folder", map[string]string{"secret-x": "/db/K", "secret-y": "/db/L,/db/K", "format-y": "json"}, config.Config{
			Sources: []config.Source{{Path: "/db", Keys: []string{"K", "L"}}},
			Outputs: []config.Output{{Format: "files", Keys: []string{"K"}}, {Format: "json", File: "y", Keys: []string{"L", "K"}}}}},
		{"other names", map[string]string{"secret-x": "A=/a/K, B=/b/K"}, config.Config{
			Sources: []config.Source{{Path: "/a", Keys: []string{"K"}, Rename: map[string]string{"K": "A"}}, {Path: "/b", Keys: []string{"K"}, Rename: map[string]string{"K": "B"}}},
			Outputs: []config.Output{{Format: "files", Keys: []string{"A", "B"}}}}},
		{"another name in the folder", map[string]string{"path": "/a", "secret-x": "A=K"}, config.Config{
			Sources: []config.Source{{Path: "/a", Rename: map[string]string{"K": "A"}}}, Outputs: []config.Output{{Format: "files", Keys: []string{"A"}}}}},

		{"a file of all", map[string]string{"format-.env": "dotenv"}, config.Config{Sources: []config.Source{root}, Outputs: []config.Output{{Format: "dotenv", File: ".env"}}}},
		{"a name with capitals, digits and dots", map[string]string{"format-Foobar-2_3.crt": "json"}, config.Config{
			Sources: []config.Source{root}, Outputs: []config.Output{{Format: "json", File: "Foobar-2_3.crt"}}}},
		{"another file name", map[string]string{"format-x": "yaml", "file-x": "app.yaml"}, config.Config{Sources: []config.Source{root}, Outputs: []config.Output{{Format: "yaml", File: "app.yaml"}}}},
		{"a template", map[string]string{"template-x": "{{ .A }}", "mode-x": "0440"}, config.Config{
			Sources: []config.Source{root}, Outputs: []config.Output{{Format: "template", File: "x", Template: "{{ .A }}", Mode: "0440"}}}},
		{"a template of a ConfigMap, with an output of a like name", map[string]string{"template-ref-x": "c/k", "template-refx": "a"}, config.Config{
			Sources: []config.Source{root}, Outputs: []config.Output{{Format: "template", File: "refx", Template: "a"}, {Format: "template", File: "x", TemplateFile: "/kms/templates/x"}}}},
		{"binary content", map[string]string{"base64-x": "K"}, config.Config{Sources: []config.Source{root}, Outputs: []config.Output{{Format: "files", Base64: []string{"K"}}}}},
		{"an annotation that is hidden", map[string]string{"format-x": "", "secret-x": ""}, config.Config{Sources: []config.Source{root}}},
	} {
		_, result := injected(t, settings, inject.Request{Pod: encode(t, the(test.annotations))})
		got := part(agentConfig(t, result))
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

func TestATextWithDollarSignsReachesTheAgentUnchanged(t *testing.T) {
	const text = `$ $$ $(HOME) $$(HOME) <&> "q" {{ .A }}`
	pod, result := injected(t, settings, inject.Request{Pod: encode(t, the(map[string]string{"template-x": text}))})
	if got := agentConfig(t, result).Outputs[0].Template; got != text {
		t.Error(got)
	}
	if value := find(t, pod.Spec.InitContainers, "kms-agent").Env[0].Value; value != string(result.Config) || strings.Contains(value, "$") {
		t.Error(value)
	}
}

func TestAChangeIsToldAsTheAnnotationsSay(t *testing.T) {
	run := func(p *corev1.Pod) {
		p.Spec.Volumes = []corev1.Volume{{Name: "run"}}
		p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "run", MountPath: "/run"}}
	}
	exec := func(more ...string) map[string]string { return pairs(append(more, "inject", "exec")) }
	shared := func(more ...string) map[string]string {
		return pairs(append(more, "share-process-namespace", "true"))
	}
	wrapper := []config.Target{{Wrapper: true, Timeout: "30s"}}
	for _, test := range []struct {
		annotations map[string]string
		want        []config.Target
		exec        config.Exec // zero if the command does not run through kms-agent
	}{
		{nil, nil, config.Exec{}},
		{pairs([]string{"on-change", "none", "notify-url", "http://localhost/x"}), nil, config.Exec{}},
		{pairs([]string{"notify-url", "http://localhost/x"}), []config.Target{{URL: "http://localhost/x", Timeout: "30s"}}, config.Exec{}},
		{pairs([]string{"notify-command", "nginx -s reload"}), []config.Target{{Command: []string{"nginx", "-s", "reload"}, Timeout: "30s"}}, config.Exec{}},
		{pairs([]string{"notify-command", `["a b", "c"]`}), []config.Target{{Command: []string{"a b", "c"}, Timeout: "30s"}}, config.Exec{}},
		{shared("signal-target", "process:nginx"), []config.Target{{Process: "nginx", Signal: "SIGHUP", Timeout: "30s"}}, config.Exec{}},
		{shared("signal-target", "pidfile:/run/a.pid", "signal", "SIGUSR2"), []config.Target{{PIDFile: "/run/a.pid", Signal: "SIGUSR2", Timeout: "30s"}}, config.Exec{}},
		{exec(), wrapper, config.Exec{OnChange: "restart", Signal: "SIGHUP", Grace: "30s"}},
		{exec("grace", "5s"), wrapper, config.Exec{OnChange: "restart", Signal: "SIGHUP", Grace: "5s"}},
		{exec("on-change", "none"), nil, config.Exec{OnChange: "none", Signal: "SIGHUP", Grace: "30s"}},
		{exec("signal", "usr1"), wrapper, config.Exec{OnChange: "signal", Signal: "SIGUSR1", Grace: "30s"}},
		{exec("on-change", "signal", "signal-target", "wrapper"), wrapper, config.Exec{OnChange: "signal", Signal: "SIGHUP", Grace: "30s"}},
		{exec("notify-url", "http://localhost/x"), []config.Target{{URL: "http://localhost/x", Timeout: "30s"}}, config.Exec{OnChange: "none", Signal: "SIGHUP", Grace: "30s"}},
		{map[string]string{"env-mode": "exec"}, wrapper, config.Exec{OnChange: "restart", Signal: "SIGHUP", Grace: "30s"}},
	} {
		pod, result := injected(t, settings, inject.Request{Pod: encode(t, the(test.annotations, run))})
		if diff := cmp.Diff(test.want, agentConfig(t, result).Notify); diff != "" {
			t.Errorf("%v: notify (-want +got):\n%s", test.annotations, diff)
		}
		if diff := cmp.Diff(test.exec, wrapperOf(t, pod)); diff != "" {
			t.Errorf("%v: exec (-want +got):\n%s", test.annotations, diff)
		}
	}
}

func pairs(list []string) map[string]string {
	m := map[string]string{}
	for i := 0; i < len(list); i += 2 {
		m[list[i]] = list[i+1]
	}
	return m
}

// wrapperOf is what a command that runs through kms-agent does after a change.
func wrapperOf(t *testing.T, pod corev1.Pod) (exec config.Exec) {
	t.Helper()
	web := find(t, pod.Spec.Containers, "web")
	for _, e := range web.Env {
		c, err := config.Parse([]byte(e.Value))
		if err != nil || c.Exec.File != "env.json" || !slices.Equal(web.Command, []string{"/kms/bin/kms-agent", "exec", "--", "web"}) {
			t.Errorf("%v: %v %+v", err, web.Command, c)
		}
		exec = config.Exec{OnChange: c.Exec.OnChange, Signal: c.Exec.Signal, Grace: c.Exec.Grace}
	}
	return exec
}

func TestTheFileOfTheProcessIdIsMountedIntoTheAgentToo(t *testing.T) {
	pod, _ := injected(t, settings, inject.Request{Pod: encode(t, the(pairs([]string{"signal-target", "pidfile:/run/web/a.pid", "share-process-namespace", "true"}), func(p *corev1.Pod) {
		p.Spec.Volumes = []corev1.Volume{{Name: "run"}, {Name: "inner"}}
		p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "run", MountPath: "/run"}, {Name: "inner", MountPath: "/run/web/"}, {Name: "run", MountPath: "/run/webbing"}}
	}))})
	mounts := find(t, pod.Spec.InitContainers, "kms-agent").VolumeMounts
	if got := mounts[len(mounts)-1]; got.Name != "inner" || !got.ReadOnly || got.MountPath != "/run/web/" {
		t.Errorf("%+v", got)
	}
}
