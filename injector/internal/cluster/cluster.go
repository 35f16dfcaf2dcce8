package cluster

import (
	"context"
	"fmt"
	"net/http"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
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

// Cluster is what the injector knows of its cluster, and a client that asks the
// API server each time. Only what it looks up for pods it remembers for a moment.
//
// There is no manager of controller-runtime: one ends when it loses its lease,
// and one that is to end before its caches are filled never does.
type Cluster struct {
	client.Client
	config     *rest.Config
	http       *http.Client
	namespaces cache.Cache
	configMaps recent[map[string]string]
	secretKeys recent[[]string]
}

// New asks the cluster for nothing yet.
func New(config *rest.Config) (c *Cluster, err error) {
	c = &Cluster{config: config}
	if c.http, err = rest.HTTPClientFor(config); err == nil {
		c.Client, err = client.New(config, client.Options{HTTPClient: c.http, Mapper: newMapper()})
	}
	if err == nil {
		c.namespaces, err = c.watch(namespaces(), onlyOurAnnotations)
	}
	if err != nil {
		return nil, fmt.Errorf("prepare to talk to the cluster: %w", err)
	}
	return c, nil
}

// watch makes a cache of the metadata of one kind, as far as transform leaves it.
func (c *Cluster) watch(kind *metav1.PartialObjectMetadata, transform func(any) (any, error)) (cache.Cache, error) {
	watched, err := cache.New(c.config, cache.Options{
		HTTPClient: c.http, Scheme: c.Scheme(), Mapper: c.RESTMapper(),
		ByObject: map[client.Object]cache.ByObject{kind: {Transform: transform}},
	})
	if err != nil {
		return nil, err
	}
	_, err = watched.GetInformer(context.Background(), kind, cache.BlockUntilSynced(false))
	return watched, err
}

// Start watches the namespaces until the context ends.
func (c *Cluster) Start(ctx context.Context) error { return c.namespaces.Start(ctx) }

// Synced waits until the namespaces are known, or the context ends.
func (c *Cluster) Synced(ctx context.Context) bool { return c.namespaces.WaitForCacheSync(ctx) }

// newMapper knows all kinds that the injector has to do with, so that it starts
// while there is no API server that could be asked about them.
func newMapper() meta.RESTMapper {
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(corev1.SchemeGroupVersion.WithKind("Namespace"), meta.RESTScopeRoot)
	mapper.Add(authenticationv1.SchemeGroupVersion.WithKind("TokenReview"), meta.RESTScopeRoot)
	for version, kinds := range map[schema.GroupVersion][]string{
		corev1.SchemeGroupVersion:   {"Pod", "ConfigMap", "Secret"},
		eventsv1.SchemeGroupVersion: {"Event"},
		appsv1.SchemeGroupVersion:   {"ReplicaSet", "Deployment", "StatefulSet", "DaemonSet"},
	} {
		for _, kind := range kinds {
			mapper.Add(version.WithKind(kind), meta.RESTScopeNamespace)
		}
	}
	return mapper
}

// metadata is a kind without what makes its objects large.
func metadata(kind string) *metav1.PartialObjectMetadata {
	var o metav1.PartialObjectMetadata
	o.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(kind))
	return &o
}

func namespaces() *metav1.PartialObjectMetadata { return metadata("Namespace") }
func pods() *metav1.PartialObjectMetadata       { return metadata("Pod") }
