package inject

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

func newPlan(s Settings, r Request, d *document) *plan {
	return &plan{settings: s, profile: r.Profile, document: d, values: gather(s, r, d.pod.Annotations)}
}

// notAsked begins the reasons that are no news to anybody.
const notAsked = "-"

// skip says in a word why the pod is left alone, "" if it is not.
func (p *plan) skip(r Request) string {
	_, mirror := p.pod.Annotations[mirrorAnnotation]
	mode, asked := p.pod.Annotations[Prefix+"inject"]
	switch {
	case r.Operation != "" && r.Operation != "CREATE":
		return notAsked
	case !asked:
		p.warnForgotten()
		return notAsked
	case mode == "false":
		return notAsked
	case r.Subresource != "":
		return "Subresource"
	case mirror:
		return "MirrorPod"
	case p.pod.DeletionTimestamp != nil:
		return "Deleting"
	case p.isWindows():
		p.warnings.add("%sinject: the agent does not run on Windows: this pod gets no secrets", Prefix)
		return "Windows"
	}
	return ""
}

// warnForgotten is about a pod that says what it wants, and not that it wants
// it.
func (p *plan) warnForgotten() {
	for _, name := range slices.Sorted(maps.Keys(p.pod.Annotations)) {
		if strings.HasPrefix(name, Prefix) && name != statusAnnotation {
			p.warnings.add("%s has no effect without %sinject: \"true\"", name, Prefix)
			p.warnUnknown()
			return
		}
	}
}

// check refuses what is wrong on its own.
func (p *plan) check() {
	p.warnUnknown()
	if len(others(p.apps)) == 0 {
		p.report("pod", "the pod has no containers")
	}
	if text := p.pod.Annotations[Prefix+"inject"]; text == "" {
		p.refuse("inject", "must be one of true, false, native, init, sidecar, exec, not \"\"")
	}
	p.checkForms()
	for name, help := range map[string]string{
		"project": "the project's slug or id", "env": "the environment's slug", "auth-secret": "the Secret with the client id and client secret",
	} {
		if !p.said(name) {
			p.refuse(name, "is missing: give %s, on the pod, its namespace or the profile", help)
		}
	}
	slices.Sort(p.problems) // they came in the order of a map
	if p.said("profile") && p.profile == nil {
		p.refuse("profile", "there is no ConfigMap %.60q in this namespace", p.text1("profile"))
	}
	p.checkMounts()
	if p.pod.Spec.HostNetwork && p.pod.Spec.DNSPolicy != "ClusterFirstWithHostNet" {
		p.warnings.add("hostNetwork: the agent finds a server in the cluster only with dnsPolicy ClusterFirstWithHostNet")
	}
}

// checkMounts is about mounts of the injector's volumes that somebody wrote.
func (p *plan) checkMounts() {
	for _, c := range slices.Concat(others(p.inits), others(p.apps)) {
		for _, m := range c.VolumeMounts {
			if isAgentVolume(m.Name) {
				p.inContainer(c.Name, "the volume %s is the agent's alone: remove the mount", m.Name)
			}
			if m.Name == secretsVolume && (m.SubPath != "" || m.SubPathExpr != "") {
				p.warnings.add("container %s: a subPath of %s never changes: mount the whole volume, or leave the mount out", c.Name, m.Name)
			}
		}
	}
}

// make decides everything else. It goes on after a problem, so that all are
// reported together.
func (p *plan) make() {
	p.shape = p.decideShape()
	p.chosen = p.choose()
	p.access = p.decideAccess()
	p.configure()
	p.checkPod()
}

// status is what the injector writes for people to read. It is computed anew
// each time and never believed.
func (p *plan) status() string {
	text, _ := json.Marshal(struct {
		Mode           string   `json:"mode"`
		Containers     []string `json:"containers"`
		InitContainers []string `json:"initContainers,omitempty"`
	}{p.shape.String(), p.chosen.apps, p.chosen.inits})
	return string(text)
}
