package reports

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hanzoai/kms/injector/internal/inject"
)

// Annotations of a pod and of the template that it was made from.
const (
	onChange = inject.Prefix + "on-change"
	revision = inject.Prefix + "revision"
)

// followChange rolls the owner of a pod whose secrets have changed, if the pod
// asks for it.
func (h *Handler) followChange(ctx context.Context, pod *corev1.Pod, got report) error {
	if !h.Rollouts || !got.Change || got.Reason != synced || pod.Annotations[onChange] != "rollout" {
		return nil
	}
	owner, err := h.owner(ctx, pod)
	if err != nil {
		return fmt.Errorf("roll the owner of pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	if !canRoll(owner.GroupVersionKind()) {
		return nil
	}
	next := int64(0)
	err = retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		next, err = h.roll(ctx, owner, pod.Annotations[revision], got.Revision)
		return err
	})
	if err != nil {
		return fmt.Errorf("roll %s %s/%s: %w", owner.Kind, owner.Namespace, owner.Name, err)
	}
	if next > 0 {
		h.Metrics.rollouts.Inc()
		h.Log.Info("rolls", "kind", owner.Kind, "namespace", owner.Namespace, "name", owner.Name, "revision", next)
		h.tell(ctx, owner, pod, corev1.EventTypeNormal, "SecretsChanged", "Rollout", "the secrets have changed: new pods take the place of those that began with others")
	}
	return nil
}

func canRoll(kind schema.GroupVersionKind) bool {
	return kind.Group == appsv1.GroupName && (kind.Kind == "Deployment" || kind.Kind == "StatefulSet" || kind.Kind == "DaemonSet")
}

// roll marks the template of the owner with a revision that is higher than any
// before, 0 if there is nothing to do. A pod has the mark of the template that
// it was made from: where the two differ, the owner rolls already, and the pods
// that come began later than the change. So each change rolls once, however
// many pods report it, and no pod can roll what does not ask for it itself.
func (h *Handler) roll(ctx context.Context, owner corev1.ObjectReference, mark string, reported int64) (int64, error) {
	var object unstructured.Unstructured
	object.SetGroupVersionKind(owner.GroupVersionKind())
	err := h.Client.Get(ctx, types.NamespacedName{Namespace: owner.Namespace, Name: owner.Name}, &object)
	if apierrors.IsNotFound(err) {
		return 0, nil
	}
	annotations, _, _ := unstructured.NestedStringMap(object.Object, "spec", "template", "metadata", "annotations")
	if err != nil || object.GetUID() != owner.UID || annotations[onChange] != "rollout" || annotations[revision] != mark {
		return 0, err
	}
	current, _ := strconv.ParseInt(mark, 10, 64) // what is no number is below any
	next := max(reported, current+1)
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": object.GetUID(), "resourceVersion": object.GetResourceVersion()},
		"spec": map[string]any{"template": map[string]any{"metadata": map[string]any{
			"annotations": map[string]string{revision: strconv.FormatInt(next, 10)}}}},
	})
	if err != nil {
		return 0, err
	}
	return next, h.Client.Patch(ctx, &object, client.RawPatch(types.MergePatchType, patch), manager)
}
