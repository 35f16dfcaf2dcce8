package inject

import (
	"cmp"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// agents are the init containers and containers that a pod of this shape gets.
func (p *plan) agents() (inits, apps []corev1.Container) {
	if p.shape.installer {
		inits = append(inits, p.installer())
	}
	if p.shape.native {
		inits = append(inits, p.nativeSidecar())
	}
	if p.shape.init {
		c := p.agent(initName, "init")
		c.Args = append(c.Args, "-timeout", p.duration("init-timeout").String())
		inits = append(inits, c)
	}
	if p.shape.sidecar {
		apps = append(apps, p.watched(p.agent(agentName, "run")))
	}
	return inits, apps
}

// nativeSidecar holds back all containers after it until the secrets are there.
func (p *plan) nativeSidecar() corev1.Container {
	c := p.watched(p.agent(agentName, "run"))
	c.RestartPolicy = new(corev1.ContainerRestartPolicyAlways)
	// A probe starts a program in the container, which costs a node far more
	// than the program's waiting does: hundreds of pods may wait for one server.
	timeout := p.duration("init-timeout")
	wait := min(timeout, startupWait)
	c.StartupProbe = probe(1, "-wait", wait.String(), "startup")
	c.StartupProbe.TimeoutSeconds = 10 // of a busy node
	c.StartupProbe.FailureThreshold = int32((timeout + wait - 1) / wait)
	return c
}

// startupWait is how long one startup probe waits: less than its timeout.
const startupWait = 4 * time.Second

// watched is for an agent that stays.
func (p *plan) watched(c corev1.Container) corev1.Container {
	if p.flag("readiness") {
		c.ReadinessProbe = probe(5, "ready")
	}
	if p.said("metrics-port") {
		c.Ports = []corev1.ContainerPort{{Name: "kms-metrics", ContainerPort: int32(number(p.text1("metrics-port")))}}
	}
	return c
}

// probe asks inside the container, so that no port is open for it.
func probe(seconds int32, what ...string) *corev1.Probe {
	asking := corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: append([]string{agentName, "health"}, what...)}}
	return &corev1.Probe{ProbeHandler: asking, PeriodSeconds: seconds, TimeoutSeconds: 5}
}

func (p *plan) agent(name, command string) corev1.Container {
	c := p.container(name, command)
	if p.said("log-level") {
		c.Args = append(c.Args, "-log-level", p.text1("log-level"))
	}
	c.Env = []corev1.EnvVar{{Name: configVariable, Value: p.text}}
	c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: secretsVolume, MountPath: p.text1("mount-path")})
	c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: authVolume, MountPath: authPath, ReadOnly: true})
	for _, v := range []struct{ name, path string }{
		{caVolume, caPath}, {templatesVolume, templatesPath}, {fallbackVolume, fallbackPath}, {reportVolume, reportPath},
	} {
		if p.wants(v.name) {
			c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: v.name, MountPath: v.path, ReadOnly: true})
		}
	}
	if mount, found := p.pidMount(); found {
		c.VolumeMounts = append(c.VolumeMounts, mount)
	}
	return c
}

// installer needs nothing but a place to copy kms-agent to.
func (p *plan) installer() corev1.Container {
	c := p.container(installerName, "install")
	c.Args = append(c.Args, binPath)
	c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: binVolume, MountPath: binPath})
	return c
}

// container is what all of ours have: no rights, few resources.
func (p *plan) container(name, command string) corev1.Container {
	return corev1.Container{
		Name:                     name,
		Image:                    cmp.Or(p.text1("agent-image"), p.settings.Image),
		ImagePullPolicy:          p.settings.PullPolicy,
		Args:                     []string{command},
		Resources:                p.resources(),
		SecurityContext:          p.securityContext(),
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		VolumeMounts:             []corev1.VolumeMount{{Name: noTokenVolume, MountPath: tokenPath, ReadOnly: true}},
	}
}

// securityContext passes the restricted Pod Security Standard.
func (p *plan) securityContext() *corev1.SecurityContext {
	return &corev1.SecurityContext{
		RunAsUser:                p.access.uid,
		RunAsGroup:               p.access.gid,
		RunAsNonRoot:             new(true),
		AllowPrivilegeEscalation: new(false),
		ReadOnlyRootFilesystem:   new(true),
		Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		SeccompProfile:           &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
	}
}

// resources are always set: a namespace gives its own defaults to a container
// without, and an autoscaler counts no pod in which one has none. The files
// count towards the limit of memory, twice while they are written.
func (p *plan) resources() corev1.ResourceRequirements {
	limit := resource.NewQuantity(16<<20+2*p.tmpfs(), resource.BinarySI)
	r := corev1.ResourceRequirements{
		Requests: corev1.ResourceList{
			corev1.ResourceCPU: p.quantity("agent-requests-cpu"), corev1.ResourceMemory: p.quantity("agent-requests-memory"),
		},
		Limits: corev1.ResourceList{corev1.ResourceMemory: *limit},
	}
	if p.said("agent-limits-memory") {
		r.Limits[corev1.ResourceMemory] = p.quantity("agent-limits-memory")
	}
	if p.said("agent-limits-cpu") {
		r.Limits[corev1.ResourceCPU] = p.quantity("agent-limits-cpu")
	}
	return r
}

func (p *plan) tmpfs() int64 {
	limit := p.quantity("size-limit")
	return limit.Value()
}

// checkPod refuses what the parts of the pod do not allow.
func (p *plan) checkPod() {
	r := p.resources()
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		limit, limited := r.Limits[name]
		if request := r.Requests[name]; limited && request.Cmp(limit) > 0 {
			p.refuse("agent-requests-"+string(name), "%s is more than the limit of %s", request.String(), limit.String())
		}
	}
	for _, name := range []string{"agent-requests-cpu", "agent-limits-cpu"} {
		if cores := p.quantity(name); cores.CmpInt64(256) > 0 {
			p.refuse(name, "must be an amount of CPU such as 5m or 0.5")
		}
	}
	if timeout := p.duration("init-timeout"); timeout < time.Second || timeout > time.Hour {
		p.refuse("init-timeout", "must be from 1s to 1h")
	}
	p.checkSharing()
	p.checkVariables()
	p.checkPlace()
	p.checkVolumes()
}

func (p *plan) checkSharing() {
	if !p.flag("share-process-namespace") {
		return
	}
	if own := p.pod.Spec.ShareProcessNamespace; own != nil && !*own {
		p.refuse("share-process-namespace", "contradicts shareProcessNamespace: false of the pod: remove one of the two")
	}
	if p.pod.Spec.HostPID {
		p.refuse("share-process-namespace", "cannot go with hostPID: leave it out")
	}
	p.warnings.add("%s: all containers of the pod see each other's processes", p.label("share-process-namespace"))
}

// checkVariables is about containers that are to get variables.
func (p *plan) checkVariables() {
	if mode := p.envMode(); mode == "secret" && !p.said("env-secret") {
		p.refuse("env-secret", "is missing: give the Secret whose keys become variables")
	}
	if !p.shape.installer {
		return
	}
	for _, c := range p.readers(p.apps, p.chosen.env) {
		switch {
		case len(c.Command) == 0:
			p.inContainer(c.Name, "exec needs its command, since the image's is not known here: write command: [...]"+
				" as the ENTRYPOINT of the image has it, or %senv-mode: secret", Prefix)
		case !slices.Contains(p.chosen.apps, c.Name):
			p.refuse("env-containers", "container %s gets no files, which exec reads: name it in %scontainers", c.Name, Prefix)
		case !c.wrapped && slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == configVariable }):
			p.inContainer(c.Name, "exec needs the variable %s for itself: remove it", configVariable)
		}
	}
}
