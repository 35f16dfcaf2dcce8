package cluster

import (
	"context"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hanzoai/kms/injector/internal/inject"
)

// onlyOurAnnotations makes the cache small.
func onlyOurAnnotations(o any) (any, error) {
	namespace, is := o.(*metav1.PartialObjectMetadata)
	if !is {
		return o, nil
	}
	maps.DeleteFunc(namespace.Annotations, func(name, _ string) bool { return !strings.HasPrefix(name, inject.Prefix) })
	namespace.ObjectMeta = metav1.ObjectMeta{
		Name: namespace.Name, UID: namespace.UID, ResourceVersion: namespace.ResourceVersion, Annotations: namespace.Annotations,
	}
	return namespace, nil
}

// Namespace gives the annotations of ours that a namespace has. One that is so
// new that the cache has not seen it is read from the API server.
func (c *Cluster) Namespace(ctx context.Context, name string) (annotations map[string]string, err error) {
	namespace, key := namespaces(), types.NamespacedName{Name: name}
	if err = c.namespaces.Get(ctx, key, namespace); apierrors.IsNotFound(err) {
		err = c.Get(ctx, key, namespace)
	}
	return namespace.Annotations, err
}

// ConfigMap gives the data of one, as it was a moment ago. It is not to be
// changed.
func (c *Cluster) ConfigMap(ctx context.Context, namespace, name string) (data map[string]string, found bool, err error) {
	return c.configMaps.get(namespace, name, func() (map[string]string, bool, error) {
		var object corev1.ConfigMap
		found, err := c.read(ctx, namespace, name, &object)
		return object.Data, found, err
	})
}

// SecretKeys gives the names of a Secret's keys, as they were a moment ago. The
// values end here.
func (c *Cluster) SecretKeys(ctx context.Context, namespace, name string) (keys []string, found bool, err error) {
	return c.secretKeys.get(namespace, name, func() (keys []string, found bool, err error) {
		var object corev1.Secret
		found, err = c.read(ctx, namespace, name, &object)
		keys = []string{}
		for key, value := range object.Data {
			clear(value)
			keys = append(keys, key)
		}
		slices.Sort(keys)
		return keys, found, err
	})
}

func (c *Cluster) read(ctx context.Context, namespace, name string, into client.Object) (found bool, err error) {
	err = c.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, into)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}
