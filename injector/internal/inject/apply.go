package inject

import (
	"encoding/json"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// patch is the way from the pod as it came to the pod as it is to be, nil if
// they are the same.
func (p *plan) patch() ([]byte, error) {
	var o operations
	agents, sidecars := p.agents()
	annotations := p.pod.Annotations
	o.annotations(annotations != nil, annotations, p.annotations())
	if p.flag("share-process-namespace") && p.pod.Spec.ShareProcessNamespace == nil {
		o.add("add", "/spec/shareProcessNamespace", true)
	}
	ours := func(element json.RawMessage) bool { return isOurVolume(nameOf(element)) }
	o.list("/spec/volumes", p.volumes, merge(p.volumes, ours, raws(p.allVolumes())))
	inits := slices.Insert(p.edited(p.inits, p.chosen.inits, nil), p.position(), p.kept(p.inits, agents)...)
	o.containers("/spec/initContainers", p.inits, inits)
	o.containers("/spec/containers", p.apps, p.withSidecars(sidecars))
	if len(o) == 0 {
		return nil, nil
	}
	return json.Marshal(o)
}

// annotations are those that the pod is to have.
func (p *plan) annotations() map[string]string {
	wanted := map[string]string{statusAnnotation: p.status(), safeToEvict: p.evictable()}
	first := slices.IndexFunc(others(p.apps), func(c container) bool { return !isMesh(c) })
	if _, found := p.pod.Annotations[defaultContainer]; !found && first >= 0 {
		wanted[defaultContainer] = others(p.apps)[first].Name
	}
	return wanted
}

// evictable tells a cluster autoscaler that nothing is lost with our volumes.
func (p *plan) evictable() string {
	names := split(p.pod.Annotations[safeToEvict])
	for _, v := range p.allVolumes() {
		if v.EmptyDir != nil && !slices.Contains(names, v.Name) {
			names = append(names, v.Name)
		}
	}
	return strings.Join(names, ",")
}

// kept are our containers, as they are in the pod where that will do.
func (p *plan) kept(list []container, wanted []corev1.Container) (kept []container) {
	for _, c := range wanted {
		k := container{Container: c, raw: raw(c), ours: true}
		at := slices.IndexFunc(list, func(old container) bool { return old.Name == c.Name })
		if at >= 0 && covered(list[at].raw)(k.raw) {
			k.raw = list[at].raw
		}
		kept = append(kept, k)
	}
	return kept
}

// withSidecars leaves a sidecar where it is among the containers, since their
// order means nothing.
func (p *plan) withSidecars(wanted []corev1.Container) (list []container) {
	edited, kept := p.edited(p.apps, p.chosen.apps, p.chosen.env), p.kept(p.apps, wanted)
	for _, c := range p.apps {
		at := slices.IndexFunc(kept, func(k container) bool { return k.Name == c.Name })
		switch {
		case !c.ours:
			list, edited = append(list, edited[0]), edited[1:]
		case at >= 0:
			list = append(list, kept[at])
			kept = slices.Delete(kept, at, at+1)
		}
	}
	return append(list, kept...)
}

// edited are the pod's own containers with what they get.
func (p *plan) edited(all []container, files, env []string) (list []container) {
	for _, c := range others(all) {
		after := object{}
		for name, value := range c.fields {
			after[name] = value
		}
		p.editMounts(c, after, slices.Contains(files, c.Name), slices.Contains(env, c.Name))
		p.editVariables(c, after, slices.Contains(env, c.Name))
		if !sameFields(c.fields, after) {
			c.raw, c.fields = nil, after
		}
		list = append(list, c)
	}
	return list
}

func sameFields(before, after object) bool {
	return !slices.ContainsFunc(listed, func(field string) bool { return !same(before[field], after[field]) })
}

// editMounts gives the files, for reading only.
func (p *plan) editMounts(c container, fields object, files, variables bool) {
	var wanted []corev1.VolumeMount
	if files {
		wanted = append(wanted, corev1.VolumeMount{Name: secretsVolume, MountPath: p.text1("mount-path"), ReadOnly: true})
	}
	if variables && p.shape.installer {
		wanted = append(wanted, corev1.VolumeMount{Name: binVolume, MountPath: binPath, ReadOnly: true})
	}
	edit(fields, "volumeMounts", func(element json.RawMessage) bool {
		var m corev1.VolumeMount
		return json.Unmarshal(element, &m) == nil && (m.Name == binVolume || p.isFiles(m))
	}, raws(wanted))
}

// editVariables has the command run through kms-agent, or gives it the keys of
// a Secret.
func (p *plan) editVariables(c container, fields object, variables bool) {
	var env []corev1.EnvVar
	exec := variables && p.shape.installer
	if exec {
		env = append(env, corev1.EnvVar{Name: configVariable, Value: p.wrap})
	}
	if command, _ := elements(fields["command"], nil); exec != c.wrapped {
		if c.wrapped {
			command = command[len(wrapping):]
		} else {
			command = append(raws(wrapping), command...)
		}
		fields["command"] = raw(command)
	}
	if exec || c.wrapped {
		edit(fields, "env", func(element json.RawMessage) bool { return c.wrapped && nameOf(element) == configVariable }, raws(env))
	}
	if variables && p.envMode() == "secret" {
		source := corev1.EnvFromSource{Prefix: p.text1("env-prefix"), SecretRef: &corev1.SecretEnvSource{}}
		source.SecretRef.Name = p.text1("env-secret")
		wanted := raw(source)
		edit(fields, "envFrom", func(element json.RawMessage) bool { return covered(element)(wanted) }, []json.RawMessage{wanted})
	}
}

// edit leaves a field alone that is as it is to be.
func edit(fields object, name string, ours func(json.RawMessage) bool, wanted []json.RawMessage) {
	before, _ := elements(fields[name], nil)
	after := merge(before, ours, wanted)
	if !slices.EqualFunc(before, after, same) {
		fields[name] = raw(after) // null, for none, is the same as no field
	}
}

func nameOf(element json.RawMessage) string {
	var named struct {
		Name string `json:"name"`
	}
	_ = json.Unmarshal(element, &named) // what is no object has no name
	return named.Name
}

func raws[T any](list []T) (texts []json.RawMessage) {
	for _, element := range list {
		texts = append(texts, raw(element))
	}
	return texts
}
