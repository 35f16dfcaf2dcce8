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
	corev1.Container // its command without kms-agent
	raw              json.RawMessage
	fields           object
	ours             bool
	wrapped          bool // its command runs through kms-agent
}

func read(text json.RawMessage) (*document, error) {
	var d document
	var compact bytes.Buffer // so that equal elements have equal bytes
	var top object
	err := json.Compact(&compact, text)
	if err == nil {
		err = utiljson.Unmarshal(compact.Bytes(), &d.pod)
	}
	if err == nil {
		err = json.Unmarshal(compact.Bytes(), &top)
	}
	spec, err := members(top["spec"], err)
	d.volumes, err = elements(spec["volumes"], err)
	d.inits, err = containers(spec["initContainers"], d.pod.Spec.InitContainers, err)
	d.apps, err = containers(spec["containers"], d.pod.Spec.Containers, err)
	d.injected = slices.ContainsFunc(slices.Concat(d.inits, d.apps), func(c container) bool { return c.ours })
	return &d, err
}

func members(raw json.RawMessage, before error) (o object, err error) {
	if raw == nil || before != nil {
		return nil, before
	}
	return o, json.Unmarshal(raw, &o)
}

// elements is nil for a list that is not there.
func elements(raw json.RawMessage, before error) (list []json.RawMessage, err error) {
	if raw == nil || before != nil {
		return nil, before
	}
	return list, json.Unmarshal(raw, &list)
}

func containers(raw json.RawMessage, typed []corev1.Container, before error) ([]container, error) {
	list, err := elements(raw, before)
	if err == nil && len(list) != len(typed) {
		err = errors.New("its containers cannot be told apart")
	}
	if err != nil || list == nil {
		return nil, err
	}
	found := make([]container, len(list))
	for i := range list {
		found[i] = container{Container: typed[i], raw: list[i], ours: isOurs(typed[i].Name)}
		found[i].fields, err = members(list[i], err)
		if err == nil && found[i].fields == nil {
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
