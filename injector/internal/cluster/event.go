package cluster

import (
	"os"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// notInjected says what happened and what to do.
func notInjected(pod *corev1.Pod) *eventsv1.Event {
	host, _ := os.Hostname()
	todo := "delete the pod, so that its controller makes it anew"
	if metav1.GetControllerOf(pod) == nil {
		todo = "delete the pod and create it anew"
	}
	return &eventsv1.Event{
		ObjectMeta:          metav1.ObjectMeta{Namespace: pod.Namespace, Name: "kms-not-injected." + string(pod.UID)},
		EventTime:           metav1.NowMicro(),
		ReportingController: "kms.hanzo.ai/injector",
		ReportingInstance:   host,
		Action:              "Inject",
		Type:                corev1.EventTypeWarning,
		Reason:              "NotInjected",
		Note:                "The pod asks for its secrets by " + askAnnotation + ", but came to be while no injector was asked, and has none: " + todo + ".",
		Regarding: corev1.ObjectReference{
			APIVersion: "v1", Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID,
		},
	}
}
