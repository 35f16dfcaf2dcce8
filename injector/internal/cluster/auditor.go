package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/hanzoai/kms/injector/internal/inject"
)

const (
	askAnnotation    = inject.Prefix + "inject"
	statusAnnotation = inject.Prefix + "status"
)

// Auditor finds pods that ask for their secrets and came to be without: created
// before there was an injector, or while its webhook was taken away. It is a
// task of the leader's, and a collector of Prometheus: the gauge
// kms_injector_naked_pods counts them by namespace, and each gets one Event.
//
// It keeps of each pod of the cluster the name and whether it asks.
type Auditor struct {
	cluster  *Cluster
	settings func() inject.Settings
	excluded []string // namespaces
	log      *slog.Logger
	naked    map[types.NamespacedName]types.UID
	gauge    *prometheus.GaugeVec
}

// NewAuditor makes one that leaves the pods of the excluded namespaces alone.
func NewAuditor(c *Cluster, settings func() inject.Settings, excluded []string, log *slog.Logger) *Auditor {
	return &Auditor{c, settings, excluded, log, nil, prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "kms_injector_naked_pods", Help: "Pods that ask for their secrets and came to be without the agent.",
	}, []string{"namespace"})}
}

// Describe is for a registry.
func (a *Auditor) Describe(to chan<- *prometheus.Desc) { a.gauge.Describe(to) }

// Collect is for a registry. There is nothing to collect where nobody leads.
func (a *Auditor) Collect(to chan<- prometheus.Metric) { a.gauge.Collect(to) }

// Start audits until the context ends. What it knows ends with it.
func (a *Auditor) Start(ctx context.Context) error {
	watched, err := a.cluster.watch(pods(), a.forget)
	if err != nil {
		return fmt.Errorf("watch the pods: %w", err)
	}
	c, err := a.controller(watched)
	if err != nil {
		return fmt.Errorf("watch the pods: %w", err)
	}
	a.naked = map[types.NamespacedName]types.UID{}
	defer a.gauge.Reset()
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() { _ = watched.Start(ctx) })
	defer watching.Wait()
	defer cancel()
	return c.Start(ctx)
}

func (a *Auditor) controller(watched cache.Cache) (controller.Controller, error) {
	c, err := controller.NewUnmanaged("auditor", controller.Options{
		Reconciler:         reconcile.Func(a.look),
		Logger:             logr.FromSlogHandler(a.log.Handler()),
		SkipNameValidation: new(true), // a replica may lead more than once
	})
	if err != nil {
		return nil, err
	}
	return c, c.Watch(source.Kind(watched, pods(), &handler.TypedEnqueueRequestForObject[*metav1.PartialObjectMetadata]{}, asking()))
}

// asking lets through what happens to pods that ask, or did until now.
func asking() predicate.TypedFuncs[*metav1.PartialObjectMetadata] {
	asks := func(pod *metav1.PartialObjectMetadata) bool { return pod.Annotations != nil }
	return predicate.TypedFuncs[*metav1.PartialObjectMetadata]{
		CreateFunc: func(e event.TypedCreateEvent[*metav1.PartialObjectMetadata]) bool { return asks(e.Object) },
		UpdateFunc: func(e event.TypedUpdateEvent[*metav1.PartialObjectMetadata]) bool {
			return asks(e.ObjectOld) || asks(e.ObjectNew)
		},
		DeleteFunc: func(e event.TypedDeleteEvent[*metav1.PartialObjectMetadata]) bool { return asks(e.Object) },
	}
}

// forget leaves of a pod what is needed: only one that asks in vain keeps any
// annotation.
func (a *Auditor) forget(o any) (any, error) {
	meta, is := o.(*metav1.PartialObjectMetadata)
	if !is {
		return o, nil
	}
	var annotations map[string]string
	if a.isCandidate(meta.Namespace, meta.Annotations) {
		annotations = map[string]string{askAnnotation: ""}
	}
	meta.ObjectMeta = metav1.ObjectMeta{Name: meta.Name, Namespace: meta.Namespace, UID: meta.UID, ResourceVersion: meta.ResourceVersion, Annotations: annotations}
	return meta, nil
}

func (a *Auditor) isCandidate(namespace string, annotations map[string]string) bool {
	mode, asks := annotations[askAnnotation]
	_, injected := annotations[statusAnnotation]
	return asks && mode != "false" && !injected && !slices.Contains(a.excluded, namespace)
}

// look looks at one pod. There is one at a time.
func (a *Auditor) look(ctx context.Context, r reconcile.Request) (reconcile.Result, error) {
	var pod corev1.Pod
	if err := a.cluster.Get(ctx, r.NamespacedName, &pod); client.IgnoreNotFound(err) != nil {
		return reconcile.Result{}, err
	}
	naked, err := a.isNaked(&pod)
	if err != nil {
		return reconcile.Result{}, err
	}
	a.count(r.NamespacedName, naked)
	if !naked || a.naked[r.NamespacedName] == pod.UID {
		return reconcile.Result{}, nil
	}
	if err := a.tell(ctx, &pod); err != nil {
		return reconcile.Result{}, err
	}
	a.naked[r.NamespacedName] = pod.UID
	return reconcile.Result{}, nil
}

// isNaked tells whether a pod should have the agent: package inject knows why
// it would leave one alone.
func (a *Auditor) isNaked(pod *corev1.Pod) (bool, error) {
	ended := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
	if pod.UID == "" || ended || !a.isCandidate(pod.Namespace, pod.Annotations) {
		return false, nil
	}
	text, err := json.Marshal(pod)
	if err != nil {
		return false, err
	}
	result, _ := inject.Inject(a.settings(), inject.Request{Pod: text, Operation: "CREATE"})
	return result.Skipped == "", nil
}

// count keeps the gauge right. The UID of a pod is known once it has its Event.
func (a *Auditor) count(pod types.NamespacedName, naked bool) {
	_, was := a.naked[pod]
	switch {
	case naked && !was:
		a.naked[pod] = ""
		a.gauge.WithLabelValues(pod.Namespace).Inc()
	case !naked && was:
		delete(a.naked, pod)
		a.gauge.WithLabelValues(pod.Namespace).Dec()
		if !a.anyIn(pod.Namespace) {
			a.gauge.DeleteLabelValues(pod.Namespace)
		}
	}
}

func (a *Auditor) anyIn(namespace string) bool {
	for pod := range a.naked {
		if pod.Namespace == namespace {
			return true
		}
	}
	return false
}

// tell writes the Event. Its name is that of the pod's UID, so a pod has one
// whoever leads.
func (a *Auditor) tell(ctx context.Context, pod *corev1.Pod) error {
	a.log.Warn("a pod that asks for secrets runs without them", "namespace", pod.Namespace, "name", pod.Name)
	err := a.cluster.Create(ctx, notInjected(pod))
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("write an Event about pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	return nil
}
