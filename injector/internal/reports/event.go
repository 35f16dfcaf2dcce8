package reports

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const controller = "kms.hanzo.ai/injector"

// tellReason writes an Event when the reason of a pod is another than before: a
// warning of what is wrong, and news when it is right again. A pod that begins
// as it should is none.
func (h *Handler) tellReason(ctx context.Context, pod *corev1.Pod, before string, now reason) {
	if before == string(now) || before == "" && now == synced {
		return
	}
	kind := corev1.EventTypeWarning
	if now == synced {
		kind = corev1.EventTypeNormal
	}
	owner, err := h.owner(ctx, pod)
	if err != nil {
		h.Log.Warn("the owner of a pod is not known", "namespace", pod.Namespace, "name", pod.Name, "err", err)
	}
	h.tell(ctx, owner, pod, kind, string(now), "Report", fmt.Sprintf("pod %s: %s", pod.Name, sentences[now]))
}

// tell writes one Event about the owner of a pod, if that has not had enough.
// An Event that is lost is in the log, and nothing depends on it.
func (h *Handler) tell(ctx context.Context, owner corev1.ObjectReference, pod *corev1.Pod, kind, reason, action, note string) {
	if !h.budgets.event(string(owner.UID), reason) {
		return
	}
	err := h.Client.Create(ctx, &eventsv1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, GenerateName: owner.Name + "-"},
		EventTime:  metav1.NowMicro(), ReportingController: controller, ReportingInstance: h.Instance,
		Type: kind, Reason: reason, Action: action, Note: note, Regarding: owner,
		Related: &corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
	})
	if err != nil {
		h.Log.Warn("an Event could not be written", "namespace", pod.Namespace, "name", owner.Name, "reason", reason, "err", err)
	}
}
