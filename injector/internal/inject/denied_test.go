package inject_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/hanzoai/kms/injector/internal/inject"
)

// The beginning of each problem that is reported, in order.
func TestWhatCannotWorkIsDeniedWithWhatToWriteInstead(t *testing.T) {
	for _, test := range []struct {
		annotations map[string]string
		want        []string
	}{
		{nil, nil},
		{map[string]string{"inject": ""}, []string{`kms.hanzo.ai/inject: must be one of true, false, native, init, sidecar, exec, not ""`}},
		{map[string]string{"inject": "True"}, []string{`kms.hanzo.ai/inject: must be one of true, false, native, init, sidecar, exec, not "True"`}},
		{map[string]string{"inject": "yes "}, []string{`kms.hanzo.ai/inject: must be one of`}},
		{map[string]string{"project": "-"}, []string{"kms.hanzo.ai/project: is missing: give the project's slug or id, on the pod, its namespace or the profile"}},
		{map[string]string{"env": "-"}, []string{"kms.hanzo.ai/env: is missing: give the environment's slug"}},
		{map[string]string{"auth-secret": "-"}, []string{"kms.hanzo.ai/auth-secret: is missing: give the Secret"}},
		{map[string]string{"project": "", "env": "", "auth-secret": ""}, []string{"kms.hanzo.ai/auth-secret:", "kms.hanzo.ai/env:", "kms.hanzo.ai/project:"}},
		{map[string]string{"auth-secret": "No_Name"}, []string{"kms.hanzo.ai/auth-secret: must be the name of an object"}},
		{map[string]string{"auth-secret-keys": "clientId"}, []string{"kms.hanzo.ai/auth-secret-keys: must be id=KEY,secret=KEY"}},
		{map[string]string{"auth-secret-keys": "id=a/b,secret=c"}, []string{"kms.hanzo.ai/auth-secret-keys: must be id=KEY,secret=KEY"}},
		{map[string]string{"ca-secret": "a/b/c"}, []string{"kms.hanzo.ai/ca-secret: must be the name of a Secret, or NAME/KEY"}},
		{map[string]string{"path": "/a b"}, []string{"kms.hanzo.ai/path: must be a folder such as /a/b"}},
		{map[string]string{"path": ","}, []string{"kms.hanzo.ai/path: is a list without an element: write a,b"}},
		{map[string]string{"path": "/a,/a"}, []string{"kms.hanzo.ai/path: reads what kms.hanzo.ai/path reads too"}},
		{map[string]string{"recursive": "1"}, []string{`kms.hanzo.ai/recursive: must be true or false, not "1"`}},
		{map[string]string{"keys": "A", "recursive": "true"}, []string{"kms.hanzo.ai/recursive: cannot go with keys"}},
		{map[string]string{"keys": "A", "path": "/a,/b"}, []string{"kms.hanzo.ai/keys: cannot go with several folders"}},
		{map[string]string{"keys": "A B"}, []string{"kms.hanzo.ai/keys[0]: must be a key"}},
		{map[string]string{"keys": "A", "secret-x": "B"}, []string{"kms.hanzo.ai/secret-x: no folder is read for B: write /folder/B, or add it to kms.hanzo.ai/keys"}},
		{map[string]string{"profile": "gone"}, []string{`kms.hanzo.ai/profile: there is no ConfigMap "gone" in this namespace`}},

		{map[string]string{"secret-x": "/a/K", "secret-y": "/b/K"}, []string{"kms.hanzo.ai/secret-y.keys[0]: has the same name in the set as kms.hanzo.ai/secret-x.keys[0]"}},
		{map[string]string{"secret-x": "A=/a/K", "secret-y": "B=/a/K"}, []string{"kms.hanzo.ai/secret-y: K has two names: A and B"}},
		{map[string]string{"secret-x": "A=K", "path": "/a,/b"}, []string{"kms.hanzo.ai/secret-x: which of several folders has K: write A=/folder/K"}},
		{map[string]string{"secret-x": "K", "secret-y": "K"}, []string{"kms.hanzo.ai/secret-y[0]: is the same file as kms.hanzo.ai/secret-x[0]"}},
		{map[string]string{"secret-x": "K", "format-x": "xml"}, []string{`kms.hanzo.ai/format-x: must be one of files, dotenv, json, yaml, properties, shell, template, not "xml"`}},
		{map[string]string{"secret-x": "K", "file-x": "y"}, []string{`kms.hanzo.ai/file-x: cannot go with the format "files"`}},
		{map[string]string{"format-x": "json", "file-x": "../y"}, []string{"kms.hanzo.ai/file-x: must be the name of a file in the directory"}},
		{map[string]string{"format-..x": "json"}, []string{"kms.hanzo.ai/format-..x: the name of an output must be that of a file", "kms.hanzo.ai/file-..x: must be"}},
		{map[string]string{"format-x": "template"}, []string{"kms.hanzo.ai/template-x: is missing"}},
		{map[string]string{"template-x": "a", "template-ref-x": "b/c"}, []string{"kms.hanzo.ai/template-ref-x: cannot go with template"}},
		{map[string]string{"template-ref-x": "b"}, []string{"kms.hanzo.ai/template-ref-x: must be CONFIGMAP/KEY"}},
		{map[string]string{"template-x": "a", "format-x": "json"}, []string{`kms.hanzo.ai/template-x: goes with the format "template" only`}},
		{map[string]string{"template-x": "a", "delims-x": "[["}, []string{"kms.hanzo.ai/delims-x: must be two different marks"}},
		{map[string]string{"secret-x": "K", "mode-x": "0666"}, []string{"kms.hanzo.ai/mode-x: must be octal such as 0400"}},
		{map[string]string{"secret-x": "K", "on-missing-x": "ignore"}, []string{"kms.hanzo.ai/on-missing-x: must be one of error, empty, keep"}},
		{map[string]string{"secret-x": "K", "base64-x": "L"}, []string{"kms.hanzo.ai/base64-x[0]: is not one of the keys of this output"}},
		{map[string]string{"secret-x": "previous", "previous": "true"}, []string{"kms.hanzo.ai/secret-x[0]: is the folder of the generation before"}},

		{map[string]string{"mount-path": "secrets"}, []string{"kms.hanzo.ai/mount-path: must be an absolute path below /"}},
		{map[string]string{"mount-path": "/"}, []string{"kms.hanzo.ai/mount-path: must be an absolute path below /"}},
		{map[string]string{"mount-path": "/kms/auth/x"}, []string{"kms.hanzo.ai/mount-path: is in the way of /kms/auth: choose another folder"}},
		{map[string]string{"mount-path": "/var/run"}, []string{"kms.hanzo.ai/mount-path: is in the way of /var/run/secrets/kubernetes.io/serviceaccount"}},
		{map[string]string{"mount-path": "/a/../b"}, []string{"kms.hanzo.ai/mount-path: must be in its shortest form"}},
		{map[string]string{"containers": "web,api"}, []string{`kms.hanzo.ai/containers: the pod has no such container "api": it has web`}},
		{map[string]string{"init-containers": "migrate"}, []string{`kms.hanzo.ai/init-containers: the pod has no such container "migrate": it has none`}},
		{map[string]string{"init-order": "middle"}, []string{`kms.hanzo.ai/init-order: must be auto, first, last or after=NAME, not "middle"`}},
		{map[string]string{"init-order": "after=x"}, []string{`kms.hanzo.ai/init-order: the pod has no init container "x": it has none`}},
		{map[string]string{"size-limit": "much"}, []string{"kms.hanzo.ai/size-limit: must be a quantity such as 16Mi or 5m"}},
		{map[string]string{"size-limit": "2Gi"}, []string{"kms.hanzo.ai/size-limit: must be from 256Ki to 1Gi"}},
		{map[string]string{"write-mode": "copy"}, []string{"kms.hanzo.ai/write-mode: must be one of symlink, rename"}},

		{map[string]string{"env-mode": "all"}, []string{"kms.hanzo.ai/env-mode: must be one of off, exec, secret"}},
		{map[string]string{"env-mode": "secret"}, []string{"kms.hanzo.ai/env-secret: is missing"}},
		{map[string]string{"env-mode": "secret", "inject": "exec"}, []string{"kms.hanzo.ai/env-mode: must be exec with inject exec"}},
		{map[string]string{"env-mode": "exec", "env-containers": "api"}, []string{`kms.hanzo.ai/env-containers: the pod has no such container "api"`}},
		{map[string]string{"env-mode": "exec", "env-keys": "A B"}, []string{"kms.hanzo.ai/env-keys[0]: must be a key"}},
		{map[string]string{"env-mode": "exec", "keys": "A", "env-keys": "B"}, []string{"kms.hanzo.ai/env-keys: no folder is read for B"}},

		{map[string]string{"on-change": "reboot"}, []string{"kms.hanzo.ai/on-change: must be one of none, signal, command, http, restart"}},
		{map[string]string{"on-change": "restart"}, []string{"kms.hanzo.ai/on-change: restart needs a command that runs through kms-agent: write kms.hanzo.ai/inject: exec"}},
		{map[string]string{"on-change": "http"}, []string{"kms.hanzo.ai/on-change: needs kms.hanzo.ai/notify-url: give the address to POST to"}},
		{map[string]string{"on-change": "command"}, []string{"kms.hanzo.ai/on-change: needs kms.hanzo.ai/notify-command"}},
		{map[string]string{"on-change": "signal"}, []string{"kms.hanzo.ai/signal-target: must be wrapper, process:NAME or pidfile:PATH"}},
		{map[string]string{"signal-target": "wrapper"}, []string{"kms.hanzo.ai/signal-target: signal needs a command that runs through kms-agent"}},
		{map[string]string{"signal-target": "process:web"}, []string{"kms.hanzo.ai/signal-target: the agent does not see processes of other containers"}},
		{map[string]string{"signal-target": "process:/bin/web", "share-process-namespace": "true"}, []string{"kms.hanzo.ai/signal-target: must be the name of a program"}},
		{map[string]string{"signal-target": "pidfile:/run/pid", "share-process-namespace": "true"}, []string{"kms.hanzo.ai/signal-target: lies on no volume of the containers"}},
		{map[string]string{"inject": "exec", "signal": "KILL"}, []string{"kms.hanzo.ai/signal: must be one of SIGHUP"}},
		{map[string]string{"notify-url": "http://10.0.0.1/"}, []string{"kms.hanzo.ai/notify-url: must be an http or https address of this host"}},
		{map[string]string{"notify-command": "[nginx"}, []string{"kms.hanzo.ai/notify-command: must be a program with its arguments, or a JSON list"}},
		{map[string]string{"notify-command": "bin/reload"}, []string{"kms.hanzo.ai/notify-command[0]: must be a program"}},
		{map[string]string{"debounce": "soon"}, []string{`kms.hanzo.ai/debounce: must be a duration such as 30s or 5m, not "soon"`}},
		{map[string]string{"debounce": "2m"}, []string{"kms.hanzo.ai/debounce: must be a duration such as 30s or 5m, from 0s to 1m"}},
		{map[string]string{"splay": "-1s"}, []string{"kms.hanzo.ai/splay: must be a duration"}},
		{map[string]string{"inject": "exec", "grace": "2h"}, []string{"kms.hanzo.ai/grace: must be a duration such as 30s or 5m, from 0s to 1h"}},
		{map[string]string{"on-revoked": "panic"}, []string{"kms.hanzo.ai/on-revoked: must be one of keep, delete, exit"}},
		{map[string]string{"poll-interval": "100ms"}, []string{"kms.hanzo.ai/poll-interval: must be a duration such as 30s or 5m, from 1s to 24h"}},
		{map[string]string{"init-timeout": "2h"}, []string{"kms.hanzo.ai/init-timeout: must be from 1s to 1h"}},

		{map[string]string{"agent-requests-cpu": "lots"}, []string{"kms.hanzo.ai/agent-requests-cpu: must be a quantity"}},
		{map[string]string{"agent-requests-cpu": "250Mi"}, []string{"kms.hanzo.ai/agent-requests-cpu: must be an amount of CPU such as 5m or 0.5"}},
		{map[string]string{"agent-requests-cpu": "-5m"}, []string{"kms.hanzo.ai/agent-requests-cpu: must be a quantity"}},
		{map[string]string{"agent-limits-cpu": "1m"}, []string{"kms.hanzo.ai/agent-requests-cpu: 5m is more than the limit of 1m"}},
		{map[string]string{"agent-requests-memory": "64Mi"}, []string{"kms.hanzo.ai/agent-requests-memory: 64Mi is more than the limit of 48Mi"}},
		{map[string]string{"run-as-user": "root"}, []string{`kms.hanzo.ai/run-as-user: must be a whole number, not "root"`}},
		{map[string]string{"run-as-user": "0"}, []string{"kms.hanzo.ai/run-as-user: must be from 1 to 2147483647: the agent does not run as root"}},
		{map[string]string{"run-as-group": "4294967296"}, []string{"kms.hanzo.ai/run-as-group: must be from 1"}},
		{map[string]string{"log-level": "verbose"}, []string{"kms.hanzo.ai/log-level: must be one of debug, info, warn, error"}},
		{map[string]string{"metrics-port": "70000"}, []string{"kms.hanzo.ai/metrics-port: must be of the form host:port or :port, with a port from 1 to 65535"}},
		{map[string]string{"proxy": "proxy:3128"}, []string{"kms.hanzo.ai/proxy: must be of the form http://host:port"}},
		{map[string]string{"server": "https://evil.example.com"}, []string{"kms.hanzo.ai/server: is not an address that the injector allows"}},
	} {
		got := denied(t, settings, inject.Request{Pod: encode(t, the(test.annotations))})
		checkBeginnings(t, test.annotations, test.want, got)
	}
}

func checkBeginnings(t *testing.T, of any, want, got []string) {
	t.Helper()
	if len(want) != len(got) {
		t.Errorf("%v: got %d problems:\n%s", of, len(got), strings.Join(got, "\n"))
		return
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("%v:\ngot  %s\nwant %s", of, got[i], want[i])
		}
	}
}

func TestAPodThatIsInTheWayIsDenied(t *testing.T) {
	web := func(change func(*corev1.Container)) func(*corev1.Pod) {
		return func(p *corev1.Pod) { change(&p.Spec.Containers[0]) }
	}
	mount := func(volume, path string) func(*corev1.Pod) {
		return web(func(c *corev1.Container) {
			c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: volume, MountPath: path})
		})
	}
	for _, test := range []struct {
		name        string
		annotations map[string]string
		change      func(*corev1.Pod)
		want        string
	}{
		{"the credentials in the application", nil, mount("kms-auth", "/auth"), "container web: the volume kms-auth is the agent's alone: remove the mount"},
		{"a volume of ours", nil, func(p *corev1.Pod) { p.Spec.Volumes = []corev1.Volume{{Name: "kms-auth"}} }, "volume kms-auth: this name is the injector's: give it another"},
		{"something where the secrets go", nil, mount("data", "/kms/secrets/"), "container web: the volume data is mounted at /kms/secrets, where the secrets go: give another folder in kms.hanzo.ai/mount-path"},
		{"no command", map[string]string{"inject": "exec"}, web(func(c *corev1.Container) { c.Command, c.Args = nil, []string{"a"} }),
			"container web: exec needs its command, since the image's is not known here: write command: [...] as the ENTRYPOINT of the image has it, or kms.hanzo.ai/env-mode: secret"},
		{"a configuration of its own", map[string]string{"inject": "exec"}, web(func(c *corev1.Container) { c.Env = []corev1.EnvVar{{Name: "KMS_AGENT_CONFIG"}} }),
			"container web: exec needs the variable KMS_AGENT_CONFIG for itself: remove it"},
		{"variables without files", map[string]string{"inject": "exec", "containers": "web", "env-containers": "helper"},
			func(p *corev1.Pod) {
				p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "helper", Command: []string{"x"}})
			},
			"kms.hanzo.ai/env-containers: container helper gets no files, which exec reads: name it in kms.hanzo.ai/containers"},
		{"no shared processes", map[string]string{"share-process-namespace": "true"}, func(p *corev1.Pod) { p.Spec.ShareProcessNamespace = new(false) },
			"kms.hanzo.ai/share-process-namespace: contradicts shareProcessNamespace: false of the pod: remove one of the two"},
		{"the processes of the node", map[string]string{"share-process-namespace": "true"}, func(p *corev1.Pod) { p.Spec.HostPID = true },
			"kms.hanzo.ai/share-process-namespace: cannot go with hostPID: leave it out"},
		{"a process id among the files", pairs([]string{"signal-target", "pidfile:/etc/web/pid", "share-process-namespace", "true"}), mount("kms-secrets", "/etc/web"),
			"kms.hanzo.ai/signal-target: lies on no volume of the containers, so the agent cannot see it: have it written to an emptyDir"},
		{"no containers", nil, func(p *corev1.Pod) { p.Spec.Containers = nil }, "the pod has no containers"},
	} {
		got := denied(t, settings, inject.Request{Pod: encode(t, the(test.annotations, test.change))})
		checkBeginnings(t, test.name, []string{test.want}, got)
	}
}

func TestNativeIsDeniedWhereTheClusterIsTooOld(t *testing.T) {
	s := settings
	s.ClassicSidecars = true
	got := denied(t, s, inject.Request{Pod: encode(t, the(map[string]string{"inject": "native"}))})
	checkBeginnings(t, "native", []string{"kms.hanzo.ai/inject: this cluster has no native sidecars, which begin with Kubernetes 1.29: write true"}, got)
}

func TestAProblemSaysWhereTheAnnotationWasGiven(t *testing.T) {
	r := inject.Request{Pod: encode(t, the(map[string]string{"profile": "backend"}))}
	r.Namespace = map[string]string{"kms.hanzo.ai/poll-interval": "1ms"}
	r.Profile = map[string]string{"splay": "x"}
	checkBeginnings(t, r, []string{"kms.hanzo.ai/splay (of the profile): must be a duration", "kms.hanzo.ai/poll-interval (of the namespace): must be a duration"}, denied(t, settings, r))
}

func TestADenialWithManyProblemsStaysReadable(t *testing.T) {
	problems := make([]string, 100)
	for i := range problems {
		problems[i] = "wrong"
	}
	if text := (&inject.Denied{Problems: problems}).Error(); !strings.HasSuffix(text, "; and 80 more") || len(text) > 300 {
		t.Error(text)
	}
}
