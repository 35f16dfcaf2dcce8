package inject

import (
	"encoding/json"
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/hanzoai/kms/agent/config"
)

// notify says whom the agent tells of a change, and gives what a wrapped
// command does then.
func (p *plan) notify() (exec config.Exec) {
	action := p.onChange()
	p.places["notify[0].url"], p.places["notify[0].command"] = p.label("notify-url"), p.label("notify-command")
	p.places["notify[0].signal"], p.places["exec.signal"] = p.label("signal"), p.label("signal")
	p.places["notify[0].pidFile"], p.places["notify[0].process"] = p.label("signal-target"), p.label("signal-target")
	p.places["exec.grace"] = p.label("grace")
	exec = config.Exec{File: envFile, OnChange: "none"}
	if p.said("grace") {
		exec.Grace = p.text1("grace")
	}
	switch action {
	case "restart":
		exec.OnChange = p.tellWrapper("on-change", "restart")
	case "signal":
		p.tellBySignal(&exec)
	case "http":
		p.need("notify-url", "the address to POST to")
		p.config.Notify = []config.Target{{URL: p.text1("notify-url")}}
	case "command":
		p.need("notify-command", "the program to run")
		p.config.Notify = []config.Target{{Command: p.command()}}
	case "rollout":
		p.checkRollout()
	}
	if !p.shape.native && !p.shape.sidecar && action != "none" && p.said("on-change") {
		p.warnings.add("%s has no effect: no agent runs beside the application", p.label("on-change"))
	}
	return exec
}

// onChange is what was asked for, in so many words or not.
func (p *plan) onChange() string {
	switch {
	case p.said("on-change"):
		return p.text1("on-change")
	case p.said("notify-url"):
		return "http"
	case p.said("notify-command"):
		return "command"
	case p.said("signal-target"), p.said("signal"):
		return "signal"
	case p.shape.installer:
		return "restart"
	}
	return "none"
}

func (p *plan) need(annotation, help string) {
	if !p.said(annotation) {
		p.refuse("on-change", "needs %s%s: give %s", Prefix, annotation, help)
	}
}

// tellWrapper has the agent tell the wrapper, which then does what is asked.
func (p *plan) tellWrapper(annotation, action string) string {
	if !p.shape.installer {
		p.refuse(annotation, "%s needs a command that runs through kms-agent: write %sinject: exec", action, Prefix)
	}
	p.config.Notify = []config.Target{{Wrapper: true}}
	return action
}

func (p *plan) tellBySignal(exec *config.Exec) {
	target, name := p.signalTarget()
	signal := "SIG" + strings.TrimPrefix(strings.ToUpper(p.text1("signal")), "SIG")
	switch target {
	case "wrapper":
		exec.OnChange = p.tellWrapper("signal-target", "signal")
		exec.Signal = signal
	case "process":
		p.config.Notify = []config.Target{{Process: name, Signal: signal}}
		p.checkSignal()
	case "pidfile":
		p.config.Notify = []config.Target{{PIDFile: name, Signal: signal}}
		p.checkSignal()
		if _, found := p.pidMount(); !found {
			p.refuse("signal-target", "lies on no volume of the containers, so the agent cannot see it: have it written to an emptyDir")
		}
	default:
		p.refuse("signal-target", "must be wrapper, process:NAME or pidfile:PATH")
	}
}

func (p *plan) signalTarget() (target, name string) {
	text := p.text1("signal-target")
	if text == "" && p.shape.installer {
		return "wrapper", ""
	}
	target, name, found := strings.Cut(text, ":")
	if found == (target == "wrapper") || found && name == "" {
		return "", ""
	}
	return target, name
}

// checkSignal is about signals to a process of another container.
func (p *plan) checkSignal() {
	if !p.flag("share-process-namespace") {
		p.refuse("signal-target", `the agent does not see processes of other containers: write inject: exec, or %sshare-process-namespace: "true"`, Prefix)
	}
	for _, c := range p.readers(p.apps, p.chosen.apps) {
		if uid := p.uid(c); uid == nil || p.access.uid == nil || *uid != *p.access.uid {
			p.warnings.add("%s: a signal to container %s fails unless its runAsUser is the agent's", p.label("signal-target"), c.Name)
		}
	}
}

// pidMount is the mount of the application that holds the file of its process
// id, so that the agent can have it too.
func (p *plan) pidMount() (found corev1.VolumeMount, ok bool) {
	target, file := p.signalTarget()
	if p.onChange() != "signal" || target != "pidfile" {
		return found, false
	}
	for _, c := range others(p.apps) {
		for _, m := range c.VolumeMounts {
			if below(file, m.MountPath) && len(m.MountPath) > len(found.MountPath) && m.SubPathExpr == "" && !isOurVolume(m.Name) {
				found, ok = m, true
			}
		}
	}
	found.ReadOnly = true
	return found, ok
}

// below reports whether a file lies in a folder, or below it.
func below(file, folder string) bool {
	return strings.HasPrefix(path.Clean(file)+"/", strings.TrimSuffix(path.Clean(folder), "/")+"/")
}

func (p *plan) command() (args []string) {
	text := strings.TrimSpace(p.text1("notify-command"))
	if !strings.HasPrefix(text, "[") {
		return strings.Fields(text)
	}
	if err := json.Unmarshal([]byte(text), &args); err != nil {
		p.refuse("notify-command", `must be a program with its arguments, or a JSON list of texts: ["nginx", "-s", "reload"]`)
	}
	return args
}
