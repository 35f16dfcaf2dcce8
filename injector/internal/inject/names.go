package inject

import corev1 "k8s.io/api/core/v1"

// These names and paths are the injector's. What a pod has under one of them
// was injected, or is refused.
const (
	agentName     = "kms-agent"
	initName      = "kms-agent-init"
	installerName = "kms-agent-install"

	secretsVolume   = "kms-secrets"
	authVolume      = "kms-auth"
	caVolume        = "kms-ca"
	templatesVolume = "kms-templates"
	binVolume       = "kms-bin"
	noTokenVolume   = "kms-no-token"
	fallbackVolume  = "kms-fallback"
	reportVolume    = "kms-report"

	authPath      = "/kms/auth"
	caPath        = "/kms/ca"
	templatesPath = "/kms/templates"
	binPath       = "/kms/bin"
	fallbackPath  = "/kms/fallback"
	reportPath    = "/kms/report"

	// An API server gives the token of the service account to every container
	// that has nothing else at this place. The agent has no use for it.
	tokenPath = "/var/run/secrets/kubernetes.io/serviceaccount"

	configVariable = "KMS_AGENT_CONFIG"
	envFile        = "env.json"

	agentUser = 65532
)

// ReportAudience is whom the token is for that an agent reports with. No API
// server takes it.
const ReportAudience = Prefix + "reports"

// wrapping is what stands before a command that runs through kms-agent.
var wrapping = []string{binPath + "/kms-agent", "exec", "--"}

// Annotations of others that the injector adds to.
const (
	statusAnnotation = Prefix + "status"
	defaultContainer = "kubectl.kubernetes.io/default-container"
	safeToEvict      = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes"
	mirrorAnnotation = corev1.MirrorPodAnnotationKey
)

func isOurs(container string) bool {
	return container == agentName || container == initName || container == installerName
}

func isOurVolume(name string) bool {
	switch name {
	case secretsVolume, binVolume:
		return true
	}
	return isAgentVolume(name)
}

// isAgentVolume knows the volumes that no container of the application may
// see.
func isAgentVolume(name string) bool {
	switch name {
	case authVolume, caVolume, templatesVolume, noTokenVolume, fallbackVolume, reportVolume:
		return true
	}
	return false
}
