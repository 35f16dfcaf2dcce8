package inject

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/hanzoai/kms/agent/config"
)

// access is who owns the files, and who may read them.
type access struct {
	uid, gid *int64 // of the agent, nil for what the cluster gives it
	mode     string
	group    *int64 // of the files
}

// decideAccess gives the files the least permission that lets the application
// read them. Running the agent as the application's user is the best of all: no
// group and nobody else can read then.
func (p *plan) decideAccess() access {
	readers := p.readers(p.apps, p.chosen.apps)
	a := p.agentUser(readers)
	if security := p.pod.Spec.SecurityContext; security != nil {
		a.group = security.FSGroup
	}
	for _, a.mode = range []string{"0400", "0440", "0444"} {
		if !slices.ContainsFunc(readers, func(c container) bool { return !a.readable(p, c, a.mode) }) {
			break
		}
	}
	if a.mode == "0444" {
		p.warnings.add("files have mode 0444: give the containers runAsUser, or the pod fsGroup, and they need not")
	}
	if a.mode != "0440" {
		a.group = nil
	}
	p.warnUnreadable(a)
	return a
}

func (p *plan) warnUnreadable(a access) {
	for _, c := range p.readers(p.inits, p.chosen.inits) {
		if uid := p.uid(c); uid != nil && !a.readable(p, c, a.mode) {
			p.warnings.add("init container %s runs as user %d, who cannot read the files", c.Name, *uid)
		}
	}
}

func (p *plan) readers(all []container, picked []string) []container {
	return slices.DeleteFunc(others(all), func(c container) bool { return !slices.Contains(picked, c.Name) })
}

// agentUser is the one user of all that read, if there is one.
func (p *plan) agentUser(readers []container) (a access) {
	uid, gid := p.common(readers, p.uid), p.common(readers, p.gid)
	if !p.settings.OpenShift && uid == nil {
		uid = new(int64(agentUser))
	}
	if !p.settings.OpenShift && gid == nil {
		gid = new(int64(agentUser))
	}
	return access{uid: p.ownUser("run-as-user", uid), gid: p.ownUser("run-as-group", gid)}
}

func (p *plan) ownUser(annotation string, otherwise *int64) *int64 {
	if !p.said(annotation) {
		return otherwise
	}
	id := number(p.text1(annotation))
	if id < 1 || id > 1<<31-1 {
		p.refuse(annotation, "must be from 1 to 2147483647: the agent does not run as root")
	}
	return &id
}

// common is the one id that all have, if it is known and not root's.
func (p *plan) common(readers []container, of func(container) *int64) (id *int64) {
	for i, c := range readers {
		own := of(c)
		if own == nil || *own == 0 || i > 0 && *own != *id {
			return nil
		}
		id = own
	}
	return id
}

func (p *plan) uid(c container) *int64 {
	if s := c.SecurityContext; s != nil && s.RunAsUser != nil {
		return s.RunAsUser
	}
	if s := p.pod.Spec.SecurityContext; s != nil {
		return s.RunAsUser
	}
	return nil
}

func (p *plan) gid(c container) *int64 {
	if s := c.SecurityContext; s != nil && s.RunAsGroup != nil {
		return s.RunAsGroup
	}
	if s := p.pod.Spec.SecurityContext; s != nil {
		return s.RunAsGroup
	}
	return nil
}

// readable reports whether a container can read files of this mode. All
// containers of a pod are in its fsGroup.
func (a access) readable(p *plan, c container, mode string) bool {
	bits, uid := config.FileMode(mode), p.uid(c)
	grouped := p.pod.Spec.SecurityContext != nil && p.pod.Spec.SecurityContext.FSGroup != nil
	switch {
	case bits&0o004 != 0, bits&0o040 != 0 && grouped:
		return true
	case uid == nil || a.uid == nil:
		return false
	}
	return *uid == *a.uid || *uid == 0 && overridesModes(c)
}

// overridesModes reports whether root in this container is above permissions.
func overridesModes(c container) bool {
	if c.SecurityContext == nil || c.SecurityContext.Capabilities == nil {
		return true
	}
	granted := c.SecurityContext.Capabilities
	has := func(list []corev1.Capability, name corev1.Capability) bool { return slices.Contains(list, name) }
	return has(granted.Add, "DAC_OVERRIDE") || !has(granted.Drop, "ALL") && !has(granted.Drop, "DAC_OVERRIDE")
}

// checkMode warns of an output that the application will not be able to read.
func (p *plan) checkMode(annotation, mode string) {
	for _, c := range p.readers(p.apps, p.chosen.apps) {
		if !p.access.readable(p, c, mode) {
			p.warnings.add("%s: container %s will not be able to read files of mode %s%s", p.label(annotation), c.Name, mode, asUser(p.uid(c)))
		}
	}
}

func asUser(uid *int64) string {
	if uid == nil {
		return ""
	}
	return fmt.Sprintf(" as user %d", *uid)
}
