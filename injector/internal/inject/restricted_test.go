package inject_test

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// checkRestricted is the restricted Pod Security Standard for what was
// injected: https://kubernetes.io/docs/concepts/security/pod-security-standards.
func checkRestricted(t *testing.T, pod corev1.Pod) {
	t.Helper()
	for _, v := range pod.Spec.Volumes {
		if v.EmptyDir == nil && v.Secret == nil && v.Projected == nil && v.ConfigMap == nil {
			t.Errorf("volume %s is of a kind that is not allowed", v.Name)
		}
	}
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		switch c.Name {
		case "kms-agent", "kms-agent-init", "kms-agent-install":
			checkOurs(t, c)
		default:
			checkTheirs(t, c)
		}
	}
}

func checkOurs(t *testing.T, c corev1.Container) {
	t.Helper()
	s := c.SecurityContext
	for rule, kept := range map[string]bool{
		"runAsNonRoot":             s != nil && s.RunAsNonRoot != nil && *s.RunAsNonRoot,
		"no root":                  s != nil && (s.RunAsUser == nil || *s.RunAsUser > 0),
		"allowPrivilegeEscalation": s != nil && s.AllowPrivilegeEscalation != nil && !*s.AllowPrivilegeEscalation,
		"readOnlyRootFilesystem":   s != nil && s.ReadOnlyRootFilesystem != nil && *s.ReadOnlyRootFilesystem,
		"not privileged":           s != nil && (s.Privileged == nil || !*s.Privileged),
		"seccompProfile":           s != nil && s.SeccompProfile != nil && s.SeccompProfile.Type == corev1.SeccompProfileTypeRuntimeDefault,
		"capabilities": s != nil && s.Capabilities != nil && len(s.Capabilities.Add) == 0 &&
			slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}),
		"no host ports":     !slices.ContainsFunc(c.Ports, func(p corev1.ContainerPort) bool { return p.HostPort != 0 }),
		"requests":          len(c.Resources.Requests) == 2,
		"limit of memory":   !c.Resources.Limits.Memory().IsZero(),
		"no token":          slices.ContainsFunc(c.VolumeMounts, isNoToken),
		"no writable token": !slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return isNoToken(m) && !m.ReadOnly }),
	} {
		if !kept {
			t.Errorf("container %s breaks the rule %s", c.Name, rule)
		}
	}
}

func isNoToken(m corev1.VolumeMount) bool {
	return m.MountPath == "/var/run/secrets/kubernetes.io/serviceaccount" && m.Name == "kms-no-token"
}

// checkTheirs sees to it that the credentials stay with the agent, and that
// nobody else writes where it does.
func checkTheirs(t *testing.T, c corev1.Container) {
	t.Helper()
	for _, m := range c.VolumeMounts {
		switch m.Name {
		case "kms-auth", "kms-ca", "kms-templates", "kms-no-token", "kms-fallback", "kms-report":
			t.Errorf("container %s gets %s", c.Name, m.Name)
		case "kms-secrets", "kms-bin":
			if !m.ReadOnly {
				t.Errorf("container %s may write to %s", c.Name, m.Name)
			}
		}
	}
}
