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

func TestAnAgentReportsAsTheInjectorSays(t *testing.T) {
	want := config.Report{URL: settings.Reports.URL, CA: string(reportsCA), TokenFile: "/kms/report/token", Splay: "5s"}
	for _, r := range []inject.Request{
		{Pod: encode(t, the(map[string]string{"report": "true"}))},
		{Pod: encode(t, the(nil)), Namespace: map[string]string{"kms.hanzo.ai/report": "true"}},
		{Pod: encode(t, the(map[string]string{"profile": "p"})), Profile: map[string]string{"report": "true"}},
	} {
		pod, result := injected(t, settings, r)
		if diff := cmp.Diff(want, agentConfig(t, result).Report); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		if token := projectedToken(pod); token == nil || token.Audience != "kms.hanzo.ai/reports" || token.Path != "token" {
			t.Errorf("the token is %+v", token)
		}
	}
	pod, result := injected(t, settings, inject.Request{Pod: encode(t, the(nil))})
	if agentConfig(t, result).Report != (config.Report{}) || projectedToken(pod) != nil {
		t.Error("an agent reports that nobody told to")
	}
}

func projectedToken(pod corev1.Pod) *corev1.ServiceAccountTokenProjection {
	at := slices.IndexFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == "kms-report" })
	if at < 0 {
		return nil
	}
	return pod.Spec.Volumes[at].Projected.Sources[0].ServiceAccountToken
}

// The authority of the injector changes while pods run, and copies are made.
func TestACopyOfAPodKnowsTheAuthorityOfToday(t *testing.T) {
	pod, _ := injected(t, settings, inject.Request{Pod: encode(t, the(map[string]string{"report": "true"}))})
	s := settings
	s.Reports = &inject.ReportSettings{URL: settings.Reports.URL, CA: slices.Concat(reportsCA, reportsCA)}
	again, result := injected(t, s, inject.Request{Pod: encode(t, pod)})
	if got := agentConfig(t, result).Report.CA; got != string(s.Reports.CA) {
		t.Errorf("it knows %s", got)
	}
	again.Spec.InitContainers[0].Env = pod.Spec.InitContainers[0].Env
	if diff := cmp.Diff(pod, again); diff != "" {
		t.Errorf("more than that changes:\n%s", diff)
	}
}

func TestARolloutNeedsAnInjectorThatHearsAndMay(t *testing.T) {
	rollout := func(more ...string) map[string]string { return pairs(append(more, "on-change", "rollout")) }
	deaf, tied := settings, settings
	deaf.Reports, tied.Rollouts = nil, false
	for _, test := range []struct {
		name        string
		settings    inject.Settings
		annotations map[string]string
		namespace   map[string]string
		want        []string
	}{
		{"all is there", settings, rollout("report", "true"), nil, nil},
		{"the namespace has it reported", settings, rollout(), map[string]string{"kms.hanzo.ai/report": "true"}, nil},
		{"nothing is reported", settings, rollout(), nil,
			[]string{`kms.hanzo.ai/on-change: rollout needs kms.hanzo.ai/report: "true", which tells the injector of the change`}},
		{"the namespace asks", settings, pairs([]string{"report", "true"}), map[string]string{"kms.hanzo.ai/on-change": "rollout"},
			[]string{"kms.hanzo.ai/on-change (of the namespace): rollout must stand on the pod itself: write it in the template of what is to roll"}},
		{"no right to roll", tied, rollout("report", "true"), nil,
			[]string{"kms.hanzo.ai/on-change: the injector may not roll anything: write signal, http, command or restart, or ask its operator to turn rollouts on"}},
		{"no reports", deaf, pairs([]string{"report", "true"}), nil,
			[]string{`kms.hanzo.ai/report: the injector takes no reports: write "false", or ask its operator to turn them on`}},
		{"no reports, by the namespace", deaf, nil, map[string]string{"kms.hanzo.ai/report": "true"},
			[]string{`kms.hanzo.ai/report (of the namespace): the injector takes no reports: write "false", or ask its operator to turn them on`}},
		{"no reports, and none wanted", deaf, pairs([]string{"report", "false"}), nil, nil},
	} {
		got := denied(t, test.settings, inject.Request{Pod: encode(t, the(test.annotations)), Namespace: test.namespace})
		checkBeginnings(t, test.name, test.want, got)
	}
}

func TestAPodThatIsToEndIsNotRolled(t *testing.T) {
	pod := the(pairs([]string{"report", "true", "on-change", "rollout"}), func(p *corev1.Pod) { p.Spec.RestartPolicy = corev1.RestartPolicyNever })
	_, result := injected(t, settings, inject.Request{Pod: encode(t, pod)})
	if diff := cmp.Diff([]string{"kms.hanzo.ai/on-change: a pod that is to end by itself is not rolled"}, result.Warnings); diff != "" {
		t.Error(diff)
	}
}

func TestAFallbackComesBeforeTheStartTakesTooLong(t *testing.T) {
	for timeout, after := range map[string]string{"-": "30s", "60s": "30s", "20s": "10s", "1s": "1s", "1h": "30m0s"} {
		pod := the(map[string]string{"fallback-secret": "web-secrets", "init-timeout": timeout})
		_, result := injected(t, settings, inject.Request{Pod: encode(t, pod)})
		if got := agentConfig(t, result).Fallback; got != (config.Fallback{Directory: "/kms/fallback", After: after}) {
			t.Errorf("init-timeout %s: %+v", timeout, got)
		}
	}
}

func TestAFallbackThatIsNotThereIsNoHindrance(t *testing.T) {
	pod, result := injected(t, settings, inject.Request{Pod: encode(t, the(map[string]string{"fallback-secret": "web-secrets"}))})
	at := slices.IndexFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == "kms-fallback" })
	if at < 0 || pod.Spec.Volumes[at].Secret.Optional == nil || !*pod.Spec.Volumes[at].Secret.Optional {
		t.Errorf("the pod waits for the fallback: %+v", pod.Spec.Volumes)
	}
	need := result.Needs[len(result.Needs)-1]
	if got := need.Missing(false, nil); got != "kms.hanzo.ai/fallback-secret: there is no Secret web-secrets yet" {
		t.Error(got)
	}
	if got := need.Missing(true, []string{}); got != "" {
		t.Errorf("an empty one: %s", got)
	}
	if got := result.Needs[0].Missing(false, nil); !strings.Contains(got, "the pod waits") {
		t.Error(got)
	}
}
