package inject

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/hanzoai/kms/agent/config"
)

// fallback lets the agent start from a Secret while the server is away. It has
// to begin before the start of the pod takes too long.
func (p *plan) fallback() {
	if !p.said("fallback-secret") {
		return
	}
	p.config.Fallback.Directory = fallbackPath
	if p.said("init-timeout") {
		p.config.Fallback.After = min(max(p.duration("init-timeout")/2, time.Second), time.Hour).String()
	}
}

// fallbackVolume may lack its Secret: a pod is not to wait for what it does not
// need while all is well.
func (p *plan) fallbackVolume() corev1.Volume {
	v := secret(fallbackVolume, p.text1("fallback-secret"))
	v.Secret.Optional = new(true)
	return v
}

// reporting has the agent report to the injector.
func (p *plan) reporting() {
	switch to := p.settings.Reports; {
	case !p.flag("report"):
	case to == nil:
		p.refuse("report", `the injector takes no reports: write "false", or ask its operator to turn them on`)
	default:
		p.config.Report = config.Report{URL: to.URL, CA: string(to.CA), TokenFile: reportPath + "/token"}
	}
}

// reportToken says which pod it is, and no API server takes it for anything
// else. Only the agent gets it.
func reportToken() corev1.Volume {
	token := &corev1.ServiceAccountTokenProjection{Audience: ReportAudience, ExpirationSeconds: new(int64(3600)), Path: "token"}
	source := &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{ServiceAccountToken: token}}}
	return corev1.Volume{Name: reportVolume, VolumeSource: corev1.VolumeSource{Projected: source}}
}

// checkRollout is about a rollout after each change. It is asked for where it
// takes effect: in the template, which the injector looks at again then, so that
// no pod can roll what is not its own.
func (p *plan) checkRollout() {
	switch {
	case !p.settings.Rollouts || p.settings.Reports == nil:
		p.refuse("on-change", "the injector may not roll anything: write signal, http, command or restart, or ask its operator to turn rollouts on")
	case p.given["on-change"].layer != "":
		p.refuse("on-change", "rollout must stand on the pod itself: write it in the template of what is to roll")
	case !p.flag("report"):
		p.refuse("on-change", `rollout needs %sreport: "true", which tells the injector of the change`, Prefix)
	case p.isJob():
		p.warnings.add("%s: a pod that is to end by itself is not rolled", p.label("on-change"))
	}
}
