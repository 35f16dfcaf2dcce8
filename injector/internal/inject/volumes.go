package inject

import (
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
)

// wants reports whether the pod gets the volume.
func (p *plan) wants(volume string) bool {
	switch volume {
	case caVolume:
		return p.said("ca-secret")
	case templatesVolume:
		return len(p.templates()) > 0
	case binVolume:
		return p.shape.installer
	case fallbackVolume:
		return p.said("fallback-secret")
	case reportVolume:
		return p.flag("report")
	}
	return true
}

// allVolumes are the volumes that the pod gets.
func (p *plan) allVolumes() (list []corev1.Volume) {
	for _, v := range []corev1.Volume{
		memory(secretsVolume, p.quantity("size-limit")),
		secret(authVolume, p.text1("auth-secret"), p.authKeys()...),
		memory(noTokenVolume, resource.MustParse("4Ki")),
		p.caVolume(),
		{Name: templatesVolume, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: p.templates()}}},
		memory(binVolume, resource.MustParse("32Mi")),
		p.fallbackVolume(),
		reportToken(),
	} {
		if p.wants(v.Name) {
			list = append(list, v)
		}
	}
	return list
}

// memory is a tmpfs: nothing on it reaches a disk.
func memory(name string, size resource.Quantity) corev1.Volume {
	source := &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory, SizeLimit: &size}
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{EmptyDir: source}}
}

// secret can be read by any user, since only one container gets it: without an
// fsGroup its files are root's, and the agent is not.
func secret(volume, name string, items ...corev1.KeyToPath) corev1.Volume {
	source := &corev1.SecretVolumeSource{SecretName: name, Items: items, DefaultMode: new(int32(0o444))}
	return corev1.Volume{Name: volume, VolumeSource: corev1.VolumeSource{Secret: source}}
}

func (p *plan) authKeys() []corev1.KeyToPath {
	keys := map[string]string{}
	for _, pair := range p.list("auth-secret-keys") {
		name, key, _ := strings.Cut(pair, "=")
		keys[strings.TrimSpace(name)] = strings.TrimSpace(key)
	}
	return []corev1.KeyToPath{{Key: keys["id"], Path: "clientId"}, {Key: keys["secret"], Path: "clientSecret"}}
}

func (p *plan) caVolume() corev1.Volume {
	name, key := p.caSecret()
	return secret(caVolume, name, corev1.KeyToPath{Key: key, Path: "ca.crt"})
}

func (p *plan) caSecret() (name, key string) {
	name, key, found := strings.Cut(p.text1("ca-secret"), "/")
	if !found {
		key = "ca.crt"
	}
	return name, key
}

// templates are the files of templates, one for each output that has one.
func (p *plan) templates() (list []corev1.VolumeProjection) {
	for _, name := range p.outputNames() {
		configMap, key, _ := strings.Cut(p.text1("template-ref-"+name), "/")
		if p.said("template-ref-" + name) {
			source := &corev1.ConfigMapProjection{Items: []corev1.KeyToPath{{Key: key, Path: name}}}
			source.Name = configMap
			list = append(list, corev1.VolumeProjection{ConfigMap: source})
		}
	}
	return list
}

// checkVolumes looks at the names that volumes are made of, and at volumes of
// the pod's own that are in the way.
func (p *plan) checkVolumes() {
	keys := p.authKeys()
	if pairs := p.list("auth-secret-keys"); len(pairs) != 2 || !isKey(keys[0].Key) || !isKey(keys[1].Key) {
		p.refuse("auth-secret-keys", "must be id=KEY,secret=KEY")
	}
	if name, key := p.caSecret(); p.said("ca-secret") && (!isObject(name) || !isKey(key)) {
		p.refuse("ca-secret", "must be the name of a Secret, or NAME/KEY")
	}
	for _, name := range p.outputNames() {
		configMap, key, _ := strings.Cut(p.text1("template-ref-"+name), "/")
		if p.said("template-ref-"+name) && (!isObject(configMap) || !isKey(key)) {
			p.refuse("template-ref-"+name, "must be CONFIGMAP/KEY")
		}
	}
	wanted := raws(p.allVolumes())
	for _, v := range p.volumes {
		if name := nameOf(v); isOurVolume(name) && !p.injected && !slices.ContainsFunc(wanted, covered(v)) {
			p.report(name, "volume "+name+": this name is the injector's: give it another")
		}
	}
	p.listNeeds(keys)
}

func isObject(name string) bool { return len(validation.IsDNS1123Subdomain(name)) == 0 }
func isKey(key string) bool     { return len(validation.IsConfigMapKey(key)) == 0 }

func (p *plan) listNeeds(auth []corev1.KeyToPath) {
	add := func(kind, name, annotation string, keys ...string) {
		if p.said(annotation) {
			p.needs = append(p.needs, Need{Kind: kind, Name: name, Keys: keys, Annotation: p.label(annotation)})
		}
	}
	ca, key := p.caSecret()
	add("Secret", p.text1("auth-secret"), "auth-secret", auth[0].Key, auth[1].Key)
	add("Secret", ca, "ca-secret", key)
	if p.said("fallback-secret") {
		p.needs = append(p.needs, Need{Kind: "Secret", Name: p.text1("fallback-secret"), Annotation: p.label("fallback-secret"), Optional: true})
	}
	if p.envMode() == "secret" {
		add("Secret", p.text1("env-secret"), "env-secret")
	}
	for _, name := range p.outputNames() {
		configMap, key, _ := strings.Cut(p.text1("template-ref-"+name), "/")
		add("ConfigMap", configMap, "template-ref-"+name, key)
	}
}

// isFiles knows the mount that an injection makes.
func (p *plan) isFiles(m corev1.VolumeMount) bool {
	return m.Name == secretsVolume && m.MountPath == p.text1("mount-path") && m.SubPath == "" && m.SubPathExpr == ""
}

// checkPlace is about the folder of the files, which must be free.
func (p *plan) checkPlace() {
	place := p.text1("mount-path")
	for _, taken := range []string{authPath, caPath, templatesPath, binPath, fallbackPath, reportPath, tokenPath, "/dev", "/proc", "/sys"} {
		if below(taken, place) || below(place, taken) {
			p.refuse("mount-path", "is in the way of %s: choose another folder", taken)
			return
		}
	}
	if place != path.Clean(place) || strings.Contains(place, ":") {
		p.refuse("mount-path", "must be in its shortest form, without a colon")
	}
	for _, c := range slices.Concat(p.readers(p.inits, p.chosen.inits), p.readers(p.apps, p.chosen.apps)) {
		for _, m := range c.VolumeMounts {
			if path.Clean(m.MountPath) == place && !p.isFiles(m) {
				p.inContainer(c.Name, "the volume %s is mounted at %s, where the secrets go: give another folder in %smount-path", m.Name, place, Prefix)
			}
		}
	}
}
