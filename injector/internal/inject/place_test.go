package inject_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/hanzoai/kms/injector/internal/inject"
)

// threes is a pod of three init containers and three containers, of which one
// is a mesh's.
func threes(p *corev1.Pod) {
	p.Spec.InitContainers = []corev1.Container{{Name: "a"}, {Name: "b"}, {Name: "istio-init"}}
	p.Spec.Containers = []corev1.Container{{Name: "web", Command: []string{"web"}}, {Name: "api", Command: []string{"api"}}, {Name: "istio-proxy"}}
}

func TestContainersThatGetTheFiles(t *testing.T) {
	for _, test := range []struct {
		annotations map[string]string
		order, want string // names, of the latter only those with files
		warnings    []string
	}{
		{nil, "kms-agent a b istio-init", "a b web api", nil},
		{pairs([]string{"containers", "api"}), "kms-agent a b istio-init", "a b api", nil},
		{pairs([]string{"containers", "web, api ,istio-proxy"}), "kms-agent a b istio-init", "a b web api istio-proxy", nil},
		{pairs([]string{"init-containers", "none"}), "kms-agent a b istio-init", "web api", nil},
		{pairs([]string{"init-containers", "b,istio-init"}), "kms-agent a b istio-init", "b istio-init web api", nil},
		{pairs([]string{"init-order", "first"}), "kms-agent a b istio-init", "a b web api", nil},
		{pairs([]string{"init-order", "last"}), "a b istio-init kms-agent", "web api", nil},
		{pairs([]string{"init-order", "after=a"}), "a kms-agent b istio-init", "b web api", nil},
		{pairs([]string{"init-order", "after=a", "init-containers", "a,b"}), "a kms-agent b istio-init", "b web api",
			[]string{"kms.hanzo.ai/init-containers: a runs before the agent, and finds no files: see kms.hanzo.ai/init-order"}},
		{pairs([]string{"inject", "exec"}), "kms-agent-install kms-agent a b istio-init", "a b web api", nil},
	} {
		pod, result := injected(t, settings, inject.Request{Pod: encode(t, the(test.annotations, threes))})
		var with []string
		for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
			if slices.ContainsFunc(c.VolumeMounts, isFiles) && !strings.HasPrefix(c.Name, "kms-agent") {
				with = append(with, c.Name)
			}
		}
		if order := strings.Join(names(pod.Spec.InitContainers), " "); order != test.order {
			t.Errorf("%v: order %s, want %s", test.annotations, order, test.order)
		}
		if got := strings.Join(with, " "); got != test.want {
			t.Errorf("%v: files for %s, want %s", test.annotations, got, test.want)
		}
		if diff := cmp.Diff(test.warnings, result.Warnings); diff != "" {
			t.Errorf("%v: warnings (-want +got):\n%s", test.annotations, diff)
		}
	}
}

// Names of what is injected, init containers before the bar.
func TestModesAndWhatTheyInject(t *testing.T) {
	job := func(p *corev1.Pod) { p.Spec.RestartPolicy = corev1.RestartPolicyOnFailure }
	const once = "kms.hanzo.ai/inject: a sidecar would keep this pod from completing: it gets its secrets once, at the start"
	for _, test := range []struct {
		mode    string
		classic bool
		change  func(*corev1.Pod)
		want    string
		warning string
	}{
		{"true", false, nil, "kms-agent|web", ""},
		{"native", false, nil, "kms-agent|web", ""},
		{"init", false, nil, "kms-agent-init|web", ""},
		{"sidecar", false, nil, "kms-agent-init|web kms-agent", ""},
		{"exec", false, nil, "kms-agent-install kms-agent|web", ""},
		{"true", false, job, "kms-agent|web", ""},
		{"sidecar", false, job, "kms-agent-init|web", once},
		{"true", true, nil, "kms-agent-init|web kms-agent", ""},
		{"true", true, job, "kms-agent-init|web", once},
		{"init", true, job, "kms-agent-init|web", ""},
		{"exec", true, nil, "kms-agent-install kms-agent-init|web kms-agent", ""},
		{"exec", true, job, "kms-agent-install kms-agent-init|web", once},
	} {
		s := settings
		s.ClassicSidecars = test.classic
		var changes []func(*corev1.Pod)
		if test.change != nil {
			changes = append(changes, test.change)
		}
		pod, result := injected(t, s, inject.Request{Pod: encode(t, the(map[string]string{"inject": test.mode}, changes...))})
		if got := strings.Join(names(pod.Spec.InitContainers), " ") + "|" + strings.Join(names(pod.Spec.Containers), " "); got != test.want {
			t.Errorf("%+v: got %s", test, got)
		}
		if got := strings.Join(result.Warnings, "\n"); got != test.warning {
			t.Errorf("%+v: warnings %s", test, got)
		}
		for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
			if native := c.RestartPolicy != nil; native != (c.StartupProbe != nil) || native && (c.Name != "kms-agent" || test.classic) {
				t.Errorf("%+v: %s is a native sidecar without a startup probe, or should be none", test, c.Name)
			}
		}
	}
}

func TestReadinessAsksTheAgentAndNothingElseDoes(t *testing.T) {
	for _, mode := range []string{"true", "sidecar"} {
		for _, readiness := range []string{"false", "true"} {
			pod, _ := injected(t, settings, inject.Request{Pod: encode(t, the(pairs([]string{"inject", mode, "readiness", readiness})))})
			agent := find(t, slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers), "kms-agent")
			if asked := agent.ReadinessProbe != nil; asked != (readiness == "true") || agent.LivenessProbe != nil {
				t.Errorf("%s %s: %+v", mode, readiness, agent.ReadinessProbe)
			}
		}
	}
	_, result := injected(t, settings, inject.Request{Pod: encode(t, the(pairs([]string{"inject", "init", "readiness", "true", "on-change", "http", "notify-url", "http://localhost/"})))})
	want := []string{"kms.hanzo.ai/readiness has no effect: no agent runs beside the application", "kms.hanzo.ai/on-change has no effect: no agent runs beside the application"}
	if diff := cmp.Diff(want, result.Warnings); diff != "" {
		t.Error(diff)
	}
}

// The size of the tmpfs, what the agent may put on it, and its memory.
func TestTheMemoryOfTheAgentGrowsWithTheFiles(t *testing.T) {
	for _, test := range []struct{ size, volume, most, limit string }{
		{"", "16Mi", "4MiB", "48Mi"},
		{"1Mi", "1Mi", "256KiB", "18Mi"},
		{"64Mi", "64Mi", "16MiB", "144Mi"},
		{"256Ki", "256Ki", "64KiB", "16896Ki"},
		{"1G", "1G", "244140KiB", "1969509Ki"},
	} {
		pod, result := injected(t, settings, inject.Request{Pod: encode(t, the(map[string]string{"size-limit": test.size}))})
		agent := find(t, pod.Spec.InitContainers, "kms-agent")
		volume := pod.Spec.Volumes[slices.IndexFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == "kms-secrets" })]
		got := []string{volume.EmptyDir.SizeLimit.String(), agentConfig(t, result).MaxSize, agent.Resources.Limits.Memory().String()}
		if diff := cmp.Diff([]string{test.volume, test.most, test.limit}, got); diff != "" {
			t.Errorf("%s: %s", test.size, diff)
		}
	}
}

// Who owns the files, and who may read them.
func TestTheFilesHaveTheLeastModeThatTheApplicationCanRead(t *testing.T) {
	const open = "files have mode 0444: give the containers runAsUser, or the pod fsGroup, and they need not"
	type users struct {
		pod, web, api, init, group int64 // -1 for none
		drop                       bool
	}
	none := users{-1, -1, -1, -1, -1, false}
	with := func(change func(*users)) users { u := none; change(&u); return u }
	for _, test := range []struct {
		name    string
		users   users
		openTo  bool // on OpenShift
		uid     int64
		mode    string
		gid     int64
		warning string
	}{
		{"nobody is known", none, false, 65532, "0444", -1, open},
		{"nobody is known, but a group", with(func(u *users) { u.group = 2000 }), false, 65532, "0440", 2000, ""},
		{"the pod's user", with(func(u *users) { u.pod = 1000 }), false, 1000, "0400", -1, ""},
		{"the containers' user", with(func(u *users) { u.web, u.api = 1000, 1000 }), false, 1000, "0400", -1, ""},
		{"a container's user above the pod's", with(func(u *users) { u.pod, u.web, u.api, u.init = 1, 1000, 1000, 1000 }), false, 1000, "0400", -1, ""},
		{"two users", with(func(u *users) { u.web, u.api = 1000, 1001 }), false, 65532, "0444", -1, open},
		{"two users and a group", with(func(u *users) { u.web, u.api, u.group = 1000, 1001, 2000 }), false, 65532, "0440", 2000, ""},
		{"one is not known", with(func(u *users) { u.web = 1000 }), false, 65532, "0444", -1, open},
		{"a user and a group", with(func(u *users) { u.pod, u.group = 1000, 2000 }), false, 1000, "0400", -1, ""},
		{"root reads all", with(func(u *users) { u.pod = 0 }), false, 65532, "0400", -1, ""},
		{"root without its rights", with(func(u *users) { u.pod, u.drop = 0, true }), false, 65532, "0444", -1, open},
		{"an init container that is root", with(func(u *users) { u.pod, u.init = 1000, 0 }), false, 1000, "0400", -1, ""},
		{"an init container of another user", with(func(u *users) { u.pod, u.init = 1000, 5 }), false, 1000, "0400", -1, "init container init runs as user 5, who cannot read the files"},
		{"OpenShift before its users are there", none, true, -1, "0444", -1, open},
		{"OpenShift with a user", with(func(u *users) { u.pod, u.group = 1000650000, 1000650000 }), true, 1000650000, "0400", -1, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := settings
			s.OpenShift = test.openTo
			pod, result := injected(t, s, inject.Request{Pod: encode(t, the(nil, func(p *corev1.Pod) {
				p.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsUser: known(test.users.pod), FSGroup: known(test.users.group)}
				p.Spec.InitContainers = []corev1.Container{{Name: "init", SecurityContext: as(test.users.init, test.users.drop)}}
				p.Spec.Containers = []corev1.Container{{Name: "web", SecurityContext: as(test.users.web, test.users.drop)}, {Name: "api", SecurityContext: as(test.users.api, test.users.drop)}}
			}))})
			agent, c := find(t, pod.Spec.InitContainers, "kms-agent"), agentConfig(t, result)
			got := []any{agent.SecurityContext.RunAsUser, c.Mode, c.GID}
			var gid *int
			if test.gid >= 0 {
				gid = new(int(test.gid))
			}
			if diff := cmp.Diff([]any{known(test.uid), test.mode, gid}, got); diff != "" {
				t.Error(diff)
			}
			if warning := strings.Join(result.Warnings, "\n"); warning != test.warning {
				t.Errorf("warning %q", warning)
			}
		})
	}
}

func known(id int64) *int64 {
	if id < 0 {
		return nil
	}
	return &id
}

func as(uid int64, drop bool) *corev1.SecurityContext {
	s := &corev1.SecurityContext{RunAsUser: known(uid)}
	if drop {
		s.Capabilities = &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}
	}
	return s
}

func TestAModeThatTheApplicationCannotReadIsWarnedOf(t *testing.T) {
	for _, test := range []struct {
		annotations map[string]string
		want        []string
	}{
		{pairs([]string{"secret-x", "K", "mode-x", "0400"}), nil},
		{pairs([]string{"secret-x", "K", "mode-x", "0400", "run-as-user", "5"}), []string{
			"files have mode 0444: give the containers runAsUser, or the pod fsGroup, and they need not",
			"kms.hanzo.ai/mode-x: container web will not be able to read files of mode 0400 as user 1000"}},
	} {
		_, result := injected(t, settings, inject.Request{Pod: encode(t, the(test.annotations))})
		if diff := cmp.Diff(test.want, result.Warnings); diff != "" {
			t.Errorf("%v: %s", test.annotations, diff)
		}
	}
}
