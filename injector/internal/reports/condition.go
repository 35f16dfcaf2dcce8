package reports

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hanzoai/kms/injector/internal/inject"
)

// ConditionType is the condition that a pod gets, the only one that is touched.
const ConditionType corev1.PodConditionType = inject.Prefix + "SecretsReady"

// manager is the name under which fields are kept.
const manager client.FieldOwner = "kms-injector"

// apply writes down what a pod has reported, where it is not written already.
func (h *Handler) apply(ctx context.Context, from identity, got report) error {
	var pod corev1.Pod
	if err := h.Client.Get(ctx, from.NamespacedName, &pod); err != nil {
		return about(from, "read", err)
	}
	if pod.UID != from.uid {
		return gone()
	}
	before := find(pod)
	wanted := condition(got, before)
	if wanted != before {
		if err := h.write(ctx, from, wanted); err != nil {
			return err
		}
		h.Log.Info("a pod has reported", "namespace", from.Namespace, "name", from.Name, "reason", string(got.Reason), "revision", got.Revision, "age", got.Age)
	}
	h.Metrics.countReason(got.Reason)
	h.tellReason(ctx, &pod, before.Reason, got.Reason)
	return h.followChange(ctx, &pod, got)
}

// find is the condition of a pod, the zero one if it has none.
func find(pod corev1.Pod) corev1.PodCondition {
	at := slices.IndexFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool { return c.Type == ConditionType })
	if at < 0 {
		return corev1.PodCondition{}
	}
	return pod.Status.Conditions[at]
}

// condition is what the pod is to say. It is the one before if nothing is new.
func condition(got report, before corev1.PodCondition) corev1.PodCondition {
	wanted := before
	wanted.Type, wanted.Reason, wanted.Message = ConditionType, string(got.Reason), message(got)
	wanted.Status = corev1.ConditionFalse
	if got.Reason == synced || got.Reason == staleFallback {
		wanted.Status = corev1.ConditionTrue
	}
	if wanted.Status != before.Status {
		wanted.LastTransitionTime = metav1.Now().Rfc3339Copy()
	}
	return wanted
}

func message(got report) string {
	if got.Revision == 0 {
		return sentences[got.Reason]
	}
	return fmt.Sprintf("%s; the files are those of revision %d", sentences[got.Reason], got.Revision)
}

// write changes one condition of this very pod: the id makes the patch fail if
// another has its name by now. A strategic merge leaves the others alone.
func (h *Handler) write(ctx context.Context, to identity, c corev1.PodCondition) error {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": to.uid},
		"status":   map[string]any{"conditions": []corev1.PodCondition{c}},
	})
	if err != nil {
		return fmt.Errorf("write the condition of pod %s: %w", to, err)
	}
	pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: to.Namespace, Name: to.Name}}
	err = h.Client.Status().Patch(ctx, &pod, client.RawPatch(types.StrategicMergePatchType, patch), manager)
	return about(to, "write the condition of", err)
}

// about tells a pod that is gone from a cluster that does not answer.
func about(pod identity, action string, err error) error {
	switch {
	case err == nil:
		return nil
	case apierrors.IsNotFound(err), apierrors.IsConflict(err), isAnother(err):
		return gone()
	}
	return fmt.Errorf("%s pod %s: %w", action, pod, err)
}

// isAnother knows the answer to a patch of a pod with another id, which is no
// conflict: the field of the id cannot change.
func isAnother(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && status.Status().Details != nil && slices.ContainsFunc(status.Status().Details.Causes, func(c metav1.StatusCause) bool {
		return c.Field == "metadata.uid"
	})
}

func gone() error {
	return &refusal{code: http.StatusGone, result: vanished, text: "the pod of this token is there no more"}
}
