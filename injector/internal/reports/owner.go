package reports

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

var replicaSets = appsv1.SchemeGroupVersion.WithKind("ReplicaSet")

// owner is what people look at who care for the pod: the controller that made
// it, its Deployment where there is one, or the pod itself.
func (h *Handler) owner(ctx context.Context, pod *corev1.Pod) (corev1.ObjectReference, error) {
	made := metav1.GetControllerOfNoCopy(pod)
	if made == nil {
		return corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID}, nil
	}
	direct := reference(pod.Namespace, made)
	if direct.GroupVersionKind() != replicaSets {
		return direct, nil
	}
	var set metav1.PartialObjectMetadata
	set.SetGroupVersionKind(replicaSets)
	if err := h.Client.Get(ctx, types.NamespacedName{Namespace: pod.Namespace, Name: made.Name}, &set); err != nil {
		return direct, fmt.Errorf("read ReplicaSet %s/%s: %w", pod.Namespace, made.Name, err)
	}
	if above := metav1.GetControllerOfNoCopy(&set); above != nil && set.UID == made.UID {
		return reference(pod.Namespace, above), nil
	}
	return direct, nil
}

func reference(namespace string, o *metav1.OwnerReference) corev1.ObjectReference {
	return corev1.ObjectReference{APIVersion: o.APIVersion, Kind: o.Kind, Namespace: namespace, Name: o.Name, UID: o.UID}
}
