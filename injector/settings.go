package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/hanzoai/kms/injector/internal/inject"
	"github.com/hanzoai/kms/internal/app"
)

// settings are the flags of what the operator decides about all injections.
type settings struct {
	inject.Settings
	server     string
	pullPolicy string
	defaults   textsFlag
}

func (s *settings) flags(f *app.Flags) {
	f.String(&s.Image, "image", "ghcr.io/hanzoai/kms-agent:"+app.VersionString(), "`IMAGE` of the agent")
	f.String(&s.pullPolicy, "image-pull-policy", "", "when a node pulls it: Always, IfNotPresent or Never; without it the cluster's default holds")
	f.String(&s.server, "server", "", "`ADDRESS` of the KMS for pods that name none; without it https://kms.hanzo.ai")
	f.StringList(&s.Servers, "servers", nil, "further `ADDRESSES` that pods may name, as https://kms.example.com or https://*.example.com")
	f.String(&s.defaults.text, "defaults", "", "what holds for pods that say nothing else, as an `OBJECT` in YAML or JSON whose names are those of annotations without kms.hanzo.ai/: '{poll-interval: 30s}'")
	f.Bool(&s.ClassicSidecars, "classic-sidecars", false, "the cluster has no native sidecars, as before Kubernetes 1.29")
	f.Bool(&s.Rollouts, "rollouts", false, "the injector rolls the owners of pods that ask for it when secrets change; it takes reports, and the right to patch Deployments, StatefulSets and DaemonSets")
	f.Bool(&s.OpenShift, "openshift", false, "the cluster gives each namespace its own users")
}

func (s *settings) parse() (parsed inject.Settings, err error) {
	parsed = s.Settings
	if parsed.Defaults, err = s.defaults.parse("defaults"); err != nil {
		return parsed, err
	}
	for _, name := range slices.Sorted(maps.Keys(parsed.Defaults)) {
		if !isDefault(name) {
			return parsed, fmt.Errorf("-defaults: %.60q cannot be a default: docs/annotations.md lists what can", name)
		}
	}
	if s.server != "" {
		parsed.Defaults["server"] = s.server
	}
	parsed.PullPolicy = corev1.PullPolicy(s.pullPolicy)
	if known := []string{"", "Always", "IfNotPresent", "Never"}; !slices.Contains(known, s.pullPolicy) {
		return parsed, fmt.Errorf("-image-pull-policy: must be Always, IfNotPresent or Never, not %.40q", s.pullPolicy)
	}
	if err := inject.CheckServers(parsed.Servers); err != nil {
		return parsed, fmt.Errorf("-servers: %w", err)
	}
	if parsed.Image == "" {
		return parsed, fmt.Errorf("-image: must be the image of the agent")
	}
	return parsed, nil
}

func isDefault(name string) bool {
	return slices.ContainsFunc(inject.Annotations(), func(a inject.Annotation) bool {
		return !a.PodOnly() && (a.Name == name || a.Output() && strings.HasPrefix(name, a.Name) && name != a.Name)
	})
}

// textsFlag is a flag whose value is an object of texts. It is no list, since
// the texts themselves are.
type textsFlag struct{ text string }

func (t textsFlag) parse(flag string) (map[string]string, error) {
	texts := map[string]string{}
	if err := yaml.UnmarshalStrict([]byte(t.text), &texts); err != nil || texts == nil {
		return map[string]string{}, fmt.Errorf("-%s: must be an object of texts in YAML or JSON, such as '{name: value}'", flag)
	}
	return texts, nil
}
