package cluster

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// Lookup reads what a webhook must know of the cluster.
type Lookup struct{ cached, live client.Reader }

// NewLookup begins to watch the namespaces when the manager starts.
func NewLookup(ctx context.Context, m manager.Manager) (*Lookup, error) {
	if _, err := m.GetCache().GetInformer(ctx, namespaces()); err != nil {
		return nil, fmt.Errorf("watch the namespaces: %w", err)
	}
	return &Lookup{m.GetCache(), m.GetAPIReader()}, nil
}

// Namespace gives the annotations of ours that a namespace has. One that is so
// new that the cache has not seen it is read from the API server.
func (l *Lookup) Namespace(ctx context.Context, name string) (annotations map[string]string, err error) {
	meta, key := namespaces(), types.NamespacedName{Name: name}
	if err = l.cached.Get(ctx, key, meta); apierrors.IsNotFound(err) {
		err = l.live.Get(ctx, key, meta)
	}
	return meta.Annotations, err
}

// ConfigMap gives the data of one.
func (l *Lookup) ConfigMap(ctx context.Context, namespace, name string) (data map[string]string, found bool, err error) {
	var object corev1.ConfigMap
	found, err = l.get(ctx, namespace, name, &object)
	return object.Data, found, err
}

// SecretKeys gives the names of a Secret's keys. The values end here.
func (l *Lookup) SecretKeys(ctx context.Context, namespace, name string) (keys []string, found bool, err error) {
	var object corev1.Secret
	found, err = l.get(ctx, namespace, name, &object)
	keys = []string{}
	for key, value := range object.Data {
		clear(value)
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys, found, err
}

func (l *Lookup) get(ctx context.Context, namespace, name string, into client.Object) (found bool, err error) {
	err = l.live.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, into)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}
