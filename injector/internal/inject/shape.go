package inject

import (
	"slices"
	"strings"
)

// shape is which containers of the agent's a pod gets.
type shape struct {
	native, init, sidecar bool
	installer             bool // kms-agent is copied to where commands find it
}

func (s shape) String() string {
	switch {
	case s.native:
		return "native"
	case s.sidecar:
		return "sidecar"
	}
	return "init"
}

func (p *plan) decideShape() shape {
	mode := p.text1("inject")
	s := shape{native: true, installer: p.envMode() == "exec"}
	switch {
	case mode == "init":
		s.native, s.init = false, true
	case mode == "sidecar" || p.settings.ClassicSidecars:
		s.native, s.init, s.sidecar = false, true, true
	}
	if mode == "native" && !s.native {
		p.refuse("inject", "this cluster has no native sidecars, which begin with Kubernetes 1.29: write true")
	}
	if s.sidecar && p.isJob() {
		s.sidecar = false
		p.warnings.add("%sinject: a sidecar would keep this pod from completing: it gets its secrets once, at the start", Prefix)
	}
	if s == (shape{init: true, installer: s.installer}) && p.flag("readiness") {
		p.warnings.add("%s has no effect: no agent runs beside the application", p.label("readiness"))
	}
	return s
}

// envMode is how secrets become variables.
func (p *plan) envMode() string {
	exec := p.text1("inject") == "exec"
	switch mode := p.given["env-mode"].text; {
	case exec && mode != "" && mode != "exec":
		p.refuse("env-mode", "must be exec with inject exec: write inject true for another")
		return "exec"
	case exec:
		return "exec"
	}
	return p.text1("env-mode")
}

// chosen are the names of the containers that get something.
type chosen struct{ apps, inits, env []string }

// choose tells who gets secrets. By default it is who was there when the pod
// was created. In a pod that was injected already those are the containers
// with the files: what came later, such as the proxy of a mesh, has none.
func (p *plan) choose() (c chosen) {
	apps, inits := others(p.apps), others(p.inits)
	before := p.injected && slices.ContainsFunc(slices.Concat(apps, inits), p.hasFiles)
	after := inits[p.position():]
	keep := func(c container) bool { return !isMesh(c) && (!before || p.hasFiles(c)) }
	c.apps = p.pick("containers", apps, apps, keep)
	c.inits = p.pick("init-containers", inits, after, keep)
	switch p.envMode() {
	case "exec", "secret":
		readers := slices.DeleteFunc(slices.Clone(apps), func(a container) bool { return !slices.Contains(c.apps, a.Name) })
		c.env = p.pick("env-containers", apps, readers, func(container) bool { return true })
	}
	p.warnLate(before, apps, c.apps)
	return c
}

// pick gives the containers that an annotation names, or the usual ones that
// are to keep.
func (p *plan) pick(annotation string, all, usual []container, keep func(container) bool) (picked []string) {
	if !p.said(annotation) {
		for _, c := range usual {
			if keep(c) {
				picked = append(picked, c.Name)
			}
		}
		return picked
	}
	for _, name := range p.list(annotation) {
		switch {
		case annotation == "init-containers" && name == "none":
		case !slices.Contains(names(all), name):
			p.refuse(annotation, "the pod has no such container %.40q: it has %s", name, orNone(names(all)))
		case !slices.Contains(names(usual), name) && annotation == "init-containers":
			p.warnings.add("%s: %s runs before the agent, and finds no files: see %sinit-order", p.label(annotation), name, Prefix)
		case !slices.Contains(picked, name):
			picked = append(picked, name)
		}
	}
	return picked
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

func (p *plan) warnLate(before bool, apps []container, picked []string) {
	for _, c := range apps {
		if before && !p.said("containers") && !slices.Contains(picked, c.Name) && !isMesh(c) {
			p.warnings.add("container %s came after the injection and gets no secrets: name it in %scontainers", c.Name, Prefix)
		}
	}
}

// hasFiles tells that a container has the mount that an injection makes.
func (p *plan) hasFiles(c container) bool {
	return slices.ContainsFunc(c.VolumeMounts, p.isFiles)
}

// position is where the agent stands among the pod's own init containers.
func (p *plan) position() int {
	inits := others(p.inits)
	order := p.text1("init-order")
	name, after := strings.CutPrefix(order, "after=")
	switch at := slices.Index(names(inits), name); {
	case order == "first":
		return 0
	case order == "last":
		return len(inits)
	case order == "auto":
		return afterMesh(inits)
	case !after:
		p.refuse("init-order", "must be auto, first, last or after=NAME, not %.40q", order)
	case at < 0:
		p.refuse("init-order", "the pod has no init container %.40q: it has %s", name, orNone(names(inits)))
	default:
		return at + 1
	}
	return 0
}

// afterMesh is behind the last proxy that runs as a native sidecar: from there
// on the network goes through it. A proxy that starts with the application
// comes too late for the first secrets, so the agent then stands before the
// init container that leads the network to it.
func afterMesh(inits []container) int {
	for i := len(inits) - 1; i >= 0; i-- {
		if isMesh(inits[i]) && isNative(inits[i]) {
			return i + 1
		}
	}
	return 0
}
