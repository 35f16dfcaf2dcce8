package inject_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/hanzoai/kms/injector/internal/inject"
)

// asTheClusterHasIt is a pod after the defaults of an API server, and after
// what its own plugins give to each container.
func asTheClusterHasIt(pod corev1.Pod) corev1.Pod {
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			c := &list[i]
			c.TerminationMessagePath = "/dev/termination-log"
			c.ImagePullPolicy = corev1.PullIfNotPresent
			for _, probe := range []*corev1.Probe{c.StartupProbe, c.ReadinessProbe} {
				if probe != nil {
					probe.SuccessThreshold = 1
				}
			}
			for j := range c.Ports {
				c.Ports[j].Protocol = corev1.ProtocolTCP
			}
			if c.Resources.Limits == nil {
				c.Resources.Limits = corev1.ResourceList{}
			}
			c.Resources.Limits[corev1.ResourceEphemeralStorage] = resource.MustParse("1Gi")
			if !slices.ContainsFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return strings.HasSuffix(m.MountPath, "/serviceaccount") }) {
				c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: "kube-api-access", MountPath: "/var/run/secrets/kubernetes.io/serviceaccount"})
			}
		}
	}
	mode := int32(420)
	for i := range pod.Spec.Volumes {
		if projected := pod.Spec.Volumes[i].Projected; projected != nil {
			projected.DefaultMode = &mode
		}
	}
	pod.Spec.Volumes = slices.Insert(pod.Spec.Volumes, 0, corev1.Volume{Name: "kube-api-access"})
	return pod
}

func TestAPodThatComesAgainStaysAsItIs(t *testing.T) {
	for name, text := range goldenPods(t) {
		s := settings
		s.ClassicSidecars, s.OpenShift = strings.HasPrefix(name, "classic-"), strings.HasPrefix(name, "openshift-")
		pod, _ := injected(t, s, inject.Request{Pod: text})
		unchanged(t, s, inject.Request{Pod: encode(t, asTheClusterHasIt(pod))})
	}
}

func TestTheMarkOfAnEarlierInjectionIsNeverBelieved(t *testing.T) {
	want, _ := injected(t, settings, inject.Request{Pod: encode(t, the(nil))})
	for _, mark := range []string{"injected", "", `{"mode":"native","containers":["istio-proxy"]}`} {
		fresh := the(map[string]string{"status": mark})
		got, _ := injected(t, settings, inject.Request{Pod: encode(t, fresh)})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("not injected before, marked %q (-want +got):\n%s", mark, diff)
		}
		again := *want.DeepCopy()
		again.Annotations["kms.hanzo.ai/status"] = mark
		got, _ = injected(t, settings, inject.Request{Pod: encode(t, again)})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("injected before, marked %q (-want +got):\n%s", mark, diff)
		}
	}
	delete(want.Annotations, "kms.hanzo.ai/status")
	pod, result := injected(t, settings, inject.Request{Pod: encode(t, want)})
	if pod.Annotations["kms.hanzo.ai/status"] == "" || strings.Count(string(result.Patch), `"op"`) != 1 {
		t.Errorf("only the mark was to be written: %s", result.Patch)
	}
}

// A template that somebody made of a running pod, and changed.
func TestACopyOfAnInjectedPodBecomesWhatItsAnnotationsAskFor(t *testing.T) {
	for _, test := range []struct {
		name          string
		before, after map[string]string
	}{
		{"another folder", nil, map[string]string{"path": "/other"}},
		{"smaller", map[string]string{"size-limit": "64Mi"}, map[string]string{"size-limit": "-"}},
		{"without a certificate", map[string]string{"ca-secret": "ca"}, map[string]string{"ca-secret": "-"}},
		{"with a certificate", nil, map[string]string{"ca-secret": "ca"}},
		{"no variables any more", map[string]string{"inject": "exec"}, map[string]string{"inject": "true"}},
		{"variables too", nil, map[string]string{"inject": "exec"}},
		{"another grace", map[string]string{"inject": "exec"}, map[string]string{"inject": "exec", "grace": "5s"}},
		{"only at the start", nil, map[string]string{"inject": "init"}},
		{"a classic sidecar", nil, map[string]string{"inject": "sidecar"}},
		{"not classic any more", map[string]string{"inject": "sidecar"}, map[string]string{"inject": "true"}},
		{"another image", nil, map[string]string{"agent-image": "other:2"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			want, _ := injected(t, settings, inject.Request{Pod: encode(t, the(test.after))})
			copied, _ := injected(t, settings, inject.Request{Pod: encode(t, the(test.before))})
			copied.Annotations = the(test.after).Annotations
			got, _ := injected(t, settings, inject.Request{Pod: encode(t, copied)})
			want.Annotations, got.Annotations = nil, nil // they may name a volume more
			slices.SortFunc(want.Spec.Volumes, byName)
			slices.SortFunc(got.Spec.Volumes, byName)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-fresh +copied:\n%s", diff)
			}
		})
	}
}

func byName(a, b corev1.Volume) int { return strings.Compare(a.Name, b.Name) }

// What others inject after us gets no secrets; what the pod had keeps them.
func TestAContainerThatComesLaterGetsNoSecrets(t *testing.T) {
	pod, _ := injected(t, settings, inject.Request{Pod: encode(t, the(nil))})
	pod.Spec.Containers = slices.Insert(pod.Spec.Containers, 0, corev1.Container{Name: "vendor-sidecar", Image: "v:1"})
	pod.Spec.InitContainers = append(pod.Spec.InitContainers, corev1.Container{Name: "vendor-init", Image: "v:1"})
	for _, status := range []string{pod.Annotations["kms.hanzo.ai/status"], ""} {
		pod.Annotations["kms.hanzo.ai/status"] = status
		again, result := injected(t, settings, inject.Request{Pod: encode(t, pod)})
		if find(t, again.Spec.Containers, "vendor-sidecar").VolumeMounts != nil || find(t, again.Spec.InitContainers, "vendor-init").VolumeMounts != nil {
			t.Error("a container that came later gets secrets")
		}
		if !slices.ContainsFunc(find(t, again.Spec.Containers, "web").VolumeMounts, isFiles) {
			t.Error("the application lost its secrets")
		}
		want := []string{"container vendor-sidecar came after the injection and gets no secrets: name it in kms.hanzo.ai/containers"}
		if diff := cmp.Diff(want, result.Warnings); diff != "" {
			t.Error(diff)
		}
	}
	pod.Annotations["kms.hanzo.ai/containers"] = "web,vendor-sidecar"
	again, _ := injected(t, settings, inject.Request{Pod: encode(t, pod)})
	if !slices.ContainsFunc(find(t, again.Spec.Containers, "vendor-sidecar").VolumeMounts, isFiles) {
		t.Error("a container that is named gets no secrets")
	}
}

// Meshes come before the injector or after it, as the names of the webhooks
// happen to sort. The pod is the same in the end.
func TestAMeshMayComeFirstOrLast(t *testing.T) {
	always := corev1.ContainerRestartPolicyAlways
	front := func(list []corev1.Container, names ...string) []corev1.Container {
		for i, name := range names {
			c := corev1.Container{Name: name, Image: "mesh:1"}
			if strings.HasSuffix(name, "-proxy") {
				c.RestartPolicy = &always
			}
			list = slices.Insert(list, i, c)
		}
		return list
	}
	for _, test := range []struct {
		name string
		mesh func(*corev1.Pod)
		want []string
	}{
		{"istio, native", func(p *corev1.Pod) {
			p.Spec.InitContainers = front(p.Spec.InitContainers, "istio-init", "istio-proxy")
		}, []string{"istio-init", "istio-proxy", "kms-agent", "migrate"}},
		{"istio, classic", func(p *corev1.Pod) {
			p.Spec.InitContainers = append(p.Spec.InitContainers, corev1.Container{Name: "istio-init", Image: "mesh:1"})
			p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "istio-proxy", Image: "mesh:1"})
		}, []string{"kms-agent", "migrate", "istio-init"}},
		{"istio with its CNI, native", func(p *corev1.Pod) {
			p.Spec.InitContainers = front(p.Spec.InitContainers, "istio-validation", "istio-proxy")
		}, []string{"istio-validation", "istio-proxy", "kms-agent", "migrate"}},
		{"linkerd, native", func(p *corev1.Pod) {
			p.Spec.InitContainers = front(p.Spec.InitContainers, "linkerd-init", "linkerd-proxy")
		}, []string{"linkerd-init", "linkerd-proxy", "kms-agent", "migrate"}},
		{"linkerd, classic, in front of the application", func(p *corev1.Pod) {
			p.Spec.InitContainers = append(p.Spec.InitContainers, corev1.Container{Name: "linkerd-init", Image: "mesh:1"})
			p.Spec.Containers = slices.Insert(p.Spec.Containers, 0, corev1.Container{Name: "linkerd-proxy", Image: "mesh:1"})
		}, []string{"kms-agent", "migrate", "linkerd-init"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			pod := the(nil, func(p *corev1.Pod) {
				p.Spec.InitContainers = []corev1.Container{{Name: "migrate", Image: "web:1"}}
			})
			last, _ := injected(t, settings, inject.Request{Pod: encode(t, pod)})
			test.mesh(&last)
			last, _ = injected(t, settings, inject.Request{Pod: encode(t, last)})
			test.mesh(pod)
			first, _ := injected(t, settings, inject.Request{Pod: encode(t, pod)})
			if diff := cmp.Diff(first, last); diff != "" {
				t.Errorf("-first +last:\n%s", diff)
			}
			if diff := cmp.Diff(test.want, names(first.Spec.InitContainers)); diff != "" {
				t.Error(diff)
			}
			for _, c := range slices.Concat(first.Spec.InitContainers, first.Spec.Containers) {
				if strings.Contains(test.name, strings.Split(c.Name, "-")[0]) && c.VolumeMounts != nil {
					t.Errorf("%s gets secrets", c.Name)
				}
			}
		})
	}
}

// A debugger that kubectl adds to a copy, which keeps the agent.
func TestADebuggerInACopyGetsNoSecrets(t *testing.T) {
	pod, _ := injected(t, settings, inject.Request{Pod: encode(t, the(map[string]string{"inject": "exec"}))})
	pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: "debugger-x2k", Image: "busybox"})
	again, _ := injected(t, settings, inject.Request{Pod: encode(t, pod)})
	if debugger := find(t, again.Spec.Containers, "debugger-x2k"); debugger.VolumeMounts != nil || debugger.Command != nil {
		t.Errorf("%+v", debugger)
	}
}

func TestThePatchMakesEachParentOnce(t *testing.T) {
	type operation struct{ Op, Path string }
	for _, test := range []struct {
		name string
		pod  *corev1.Pod
		want []operation
	}{
		{"nothing is there", the(nil), []operation{
			{"add", "/metadata/annotations/cluster-autoscaler.kubernetes.io~1safe-to-evict-local-volumes"},
			{"add", "/metadata/annotations/kms.hanzo.ai~1status"}, {"add", "/metadata/annotations/kubectl.kubernetes.io~1default-container"},
			{"add", "/spec/volumes"}, {"add", "/spec/initContainers"}, {"add", "/spec/containers/0/volumeMounts"}}},
		{"everything is", the(nil, func(p *corev1.Pod) {
			p.Spec.Volumes = []corev1.Volume{{Name: "data"}}
			p.Spec.InitContainers = []corev1.Container{{Name: "migrate"}}
			p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "data", MountPath: "/data"}}
			p.Annotations["kubectl.kubernetes.io/default-container"] = "web"
		}), []operation{
			{"add", "/metadata/annotations/cluster-autoscaler.kubernetes.io~1safe-to-evict-local-volumes"},
			{"add", "/metadata/annotations/kms.hanzo.ai~1status"},
			{"add", "/spec/volumes/-"}, {"add", "/spec/volumes/-"}, {"add", "/spec/volumes/-"},
			{"replace", "/spec/initContainers"}, {"add", "/spec/containers/0/volumeMounts/-"}}},
		{"last among the init containers", the(map[string]string{"init-order": "last"}, func(p *corev1.Pod) {
			p.Spec.InitContainers = []corev1.Container{{Name: "migrate"}}
		}), []operation{
			{"add", "/metadata/annotations/cluster-autoscaler.kubernetes.io~1safe-to-evict-local-volumes"},
			{"add", "/metadata/annotations/kms.hanzo.ai~1status"}, {"add", "/metadata/annotations/kubectl.kubernetes.io~1default-container"},
			{"add", "/spec/volumes"}, {"add", "/spec/initContainers/-"}, {"add", "/spec/containers/0/volumeMounts"}}},
		{"a command with variables", the(map[string]string{"inject": "exec", "share-process-namespace": "true"}), []operation{
			{"add", "/metadata/annotations/cluster-autoscaler.kubernetes.io~1safe-to-evict-local-volumes"},
			{"add", "/metadata/annotations/kms.hanzo.ai~1status"}, {"add", "/metadata/annotations/kubectl.kubernetes.io~1default-container"},
			{"add", "/spec/shareProcessNamespace"}, {"add", "/spec/volumes"}, {"add", "/spec/initContainers"},
			{"replace", "/spec/containers/0/command"}, {"add", "/spec/containers/0/env"}, {"add", "/spec/containers/0/volumeMounts"}}},
	} {
		_, result := injected(t, settings, inject.Request{Pod: encode(t, test.pod)})
		var got []operation
		if err := json.Unmarshal(result.Patch, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
	}
}

// The numbers, the order and the fields that this injector does not know.
func TestUnknownFieldsSurvive(t *testing.T) {
	pod := goldenPods(t)["unknown-fields"]
	result, err := inject.Inject(settings, inject.Request{Pod: pod})
	if err != nil {
		t.Fatal(err)
	}
	after := string(apply(t, pod, result.Patch))
	for _, field := range []string{`"futureField":{"a":1.5,"b":12345678901234567890}`, `"futureVolume":[1]`, `"futureInit":{"x":null}`, `"futureContainer":1000`, `"futureMount":true`} {
		if !strings.Contains(after, field) {
			t.Errorf("%s is gone from %s", field, after)
		}
	}
}
