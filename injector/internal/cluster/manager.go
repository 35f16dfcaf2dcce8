package cluster

import (
	"fmt"
	"maps"
	"strings"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/hanzoai/kms/injector/internal/inject"
)

// Config is how to reach the cluster: KUBECONFIG where it is set, otherwise as
// the service account of the pod.
func Config() (*rest.Config, error) {
	c, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(clientcmd.NewDefaultClientConfigLoadingRules(), nil).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("find the cluster: %w: run in a pod with a service account, or set KUBECONFIG", err)
	}
	// A pod is not to wait behind others for a budget of the injector's own: the
	// API server shares itself out by priority and fairness.
	c.QPS = -1
	return c, nil
}

// NewManager runs what the replicas do. It listens nowhere and elects nobody: a
// manager that loses its lease ends, and a webhook is not to end with it.
func NewManager(c *rest.Config, log logr.Logger) (manager.Manager, error) {
	m, err := manager.New(c, manager.Options{
		Logger:  log,
		Metrics: metricsserver.Options{BindAddress: "0"},
		Cache: cache.Options{
			// A read that would begin to watch a kind in the whole cluster is
			// a mistake.
			ReaderFailOnMissingInformer: true,
			ByObject:                    map[client.Object]cache.ByObject{namespaces(): {Transform: onlyOurAnnotations}},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("prepare to talk to the cluster: %w", err)
	}
	return m, nil
}

// namespaces is the kind without what Lookup does not need.
func namespaces() *metav1.PartialObjectMetadata {
	var meta metav1.PartialObjectMetadata
	meta.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	return &meta
}

// onlyOurAnnotations makes the cache small.
func onlyOurAnnotations(o any) (any, error) {
	meta, is := o.(*metav1.PartialObjectMetadata)
	if !is {
		return o, nil
	}
	maps.DeleteFunc(meta.Annotations, func(name, _ string) bool { return !strings.HasPrefix(name, inject.Prefix) })
	meta.ObjectMeta = metav1.ObjectMeta{
		Name: meta.Name, Namespace: meta.Namespace, UID: meta.UID, ResourceVersion: meta.ResourceVersion,
		DeletionTimestamp: meta.DeletionTimestamp, Annotations: meta.Annotations,
	}
	return meta, nil
}
