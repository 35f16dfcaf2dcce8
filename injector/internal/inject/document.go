package inject

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"

	corev1 "k8s.io/api/core/v1"
	utiljson "k8s.io/apimachinery/pkg/util/json"
)

// document is a pod as it came and as it is understood. What an injection put
// into it before is told apart: everything is decided about the pod without it.
type document struct {
	pod         corev1.Pod
	volumes     []json.RawMessage
	inits, apps []container
	injected    bool // an agent is in it
}

// object is a JSON object whose members are as they came.
type object map[string]json.RawMessage

// container is one that is not the agent's, or the agent's own.
type container struct {
	corev1.Container                 // its command without kms-agent
	raw              json.RawMessage // nil if the fields say more
	fields           object
	ours             bool
	wrapped          bool // its command runs through kms-agent
}

// lists are those parts of a pod whose bytes matter.
type lists struct {
	Spec struct {
		Volumes        []json.RawMessage `json:"volumes"`
		InitContainers []json.RawMessage `json:"initContainers"`
		Containers     []json.RawMessage `json:"containers"`
	} `json:"spec"`
}

func read(text json.RawMessage) (*document, error) {
	var d document
	var compact bytes.Buffer // so that equal elements have equal bytes
	var parts lists
	err := json.Compact(&compact, text)
	if err == nil {
		err = utiljson.Unmarshal(compact.Bytes(), &d.pod)
	}
	if err == nil {
		err = utiljson.Unmarshal(compact.Bytes(), &parts)
	}
	d.volumes = parts.Spec.Volumes
	d.inits, err = containers(parts.Spec.InitContainers, d.pod.Spec.InitContainers, err)
	d.apps, err = containers(parts.Spec.Containers, d.pod.Spec.Containers, err)
	d.injected = slices.ContainsFunc(slices.Concat(d.inits, d.apps), func(c container) bool { return c.ours })
	return &d, err
}

// text is the container as it is to be written.
func (c container) text() json.RawMessage {
	if c.raw == nil {
		return raw(c.fields)
	}
	return c.raw
}

// elements is nil for a list that is not there.
func elements(raw json.RawMessage, before error) (list []json.RawMessage, err error) {
	if raw == nil || before != nil {
		return nil, before
	}
	return list, json.Unmarshal(raw, &list)
}

func containers(list []json.RawMessage, typed []corev1.Container, err error) ([]container, error) {
	if err == nil && len(list) != len(typed) {
		err = errors.New("its containers cannot be told apart")
	}
	if err != nil || list == nil {
		return nil, err
	}
	found := make([]container, len(list))
	for i := range list {
		found[i] = container{Container: typed[i], raw: list[i], ours: isOurs(typed[i].Name)}
		if err = json.Unmarshal(list[i], &found[i].fields); err == nil && found[i].fields == nil {
			err = errors.New("one of its containers is null")
		}
		if err != nil {
			return nil, err
		}
		found[i].unwrap()
	}
	return found, nil
}

// unwrap takes kms-agent off the command.
func (c *container) unwrap() {
	if len(c.Command) > len(wrapping) && slices.Equal(c.Command[:len(wrapping)], wrapping) {
		c.wrapped, c.Command = true, c.Command[len(wrapping):]
	}
}

// others are the pod's own containers, in their order.
func others(list []container) []container {
	return slices.DeleteFunc(slices.Clone(list), func(c container) bool { return c.ours })
}

func names(list []container) (names []string) {
	for _, c := range list {
		names = append(names, c.Name)
	}
	return names
}

// isMesh knows the containers that service meshes inject. They never get
// secrets unless they are named.
func isMesh(c container) bool {
	switch c.Name {
	case "istio-init", "istio-validation", "istio-proxy",
		"linkerd-init", "linkerd-network-validator", "linkerd-proxy", "linkerd-debug",
		"kuma-init", "kuma-validation", "kuma-sidecar",
		"consul-connect-inject-init", "consul-dataplane":
		return true
	}
	return false
}

func isNative(c container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

// isJob tells that the pod is to end by itself.
func (d *document) isJob() bool {
	policy := d.pod.Spec.RestartPolicy
	return policy == corev1.RestartPolicyNever || policy == corev1.RestartPolicyOnFailure
}

func (d *document) isWindows() bool {
	system := d.pod.Spec.OS
	return system != nil && system.Name == corev1.Windows || d.pod.Spec.NodeSelector[corev1.LabelOSStable] == "windows"
}
