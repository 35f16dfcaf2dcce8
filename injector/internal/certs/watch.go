package certs

import (
	"context"
	"time"

	"github.com/fsnotify/fsnotify"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// connect makes what asks and watches the cluster. Scheme and mapper are
// fixed, so that no server has to be asked what it has.
func (k *Keeper) connect(cluster *rest.Config) (err error) {
	scheme := runtime.NewScheme()
	utilruntime.Must(corev1.AddToScheme(scheme))
	utilruntime.Must(admissionv1.AddToScheme(scheme))
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(corev1.SchemeGroupVersion.WithKind("Secret"), meta.RESTScopeNamespace)
	mapper.Add(admissionv1.SchemeGroupVersion.WithKind("MutatingWebhookConfiguration"), meta.RESTScopeRoot)
	mapper.Add(admissionv1.SchemeGroupVersion.WithKind("ValidatingWebhookConfiguration"), meta.RESTScopeRoot)
	if k.client, err = client.New(cluster, client.Options{Scheme: scheme, Mapper: mapper}); err != nil {
		return err
	}
	watched := k.watched()
	if k.watches, err = cache.New(cluster, cache.Options{Scheme: scheme, Mapper: mapper, ByObject: watched}); err != nil {
		return err
	}
	for object := range watched {
		if err = k.wakeOn(object); err != nil {
			return err
		}
	}
	return nil
}

// watched are the objects by name, so that rights to these alone are enough.
// Only their metadata is watched: an event is a reason to read, no more.
func (k *Keeper) watched() map[client.Object]cache.ByObject {
	watched := map[client.Object]cache.ByObject{}
	if len(k.config.own()) > 0 {
		only := cache.Config{FieldSelector: fields.OneTermEqualSelector("metadata.name", k.config.Secret)}
		watched[metadata(corev1.SchemeGroupVersion.WithKind("Secret"))] = cache.ByObject{
			Namespaces: map[string]cache.Config{k.config.Namespace: only}}
	}
	if forWebhooks(k.config.Leaves) {
		only := cache.ByObject{Field: fields.OneTermEqualSelector("metadata.name", k.config.Webhooks)}
		watched[metadata(admissionv1.SchemeGroupVersion.WithKind("MutatingWebhookConfiguration"))] = only
		watched[metadata(admissionv1.SchemeGroupVersion.WithKind("ValidatingWebhookConfiguration"))] = only
	}
	return watched
}

func metadata(kind schema.GroupVersionKind) client.Object {
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(kind)
	return object
}

func (k *Keeper) wakeOn(object client.Object) error {
	informer, err := k.watches.GetInformer(context.Background(), object, cache.BlockUntilSynced(false))
	if err != nil {
		return err
	}
	_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { k.wakeAll() },
		UpdateFunc: func(_, _ any) { k.wakeAll() },
		DeleteFunc: func(any) { k.wakeAll() },
	})
	return err
}

func (k *Keeper) wakeAll() {
	k.wakeRead.up()
	k.wakeLead.up()
}

// watchDirectories wakes the reader. It watches directories, not files: a
// volume of Kubernetes is exchanged around its files. Where the kernel has no
// watch left, reading again every minute has to do.
func (k *Keeper) watchDirectories(ctx context.Context) {
	if len(k.config.own()) == len(k.config.Leaves) {
		return
	}
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		k.config.Log.Warn("certificates cannot be watched and are read every minute", "err", err)
		return
	}
	defer watcher.Close()
	again := time.NewTicker(reread)
	defer again.Stop()
	for {
		k.addDirectories(watcher)
		select {
		case <-ctx.Done():
			return
		case <-watcher.Events:
		case <-watcher.Errors: // events were lost
		case <-again.C:
		}
		k.wakeRead.up()
	}
}

// addDirectories also finds a directory that was made anew. One that is not
// there is the reader's to complain of.
func (k *Keeper) addDirectories(watcher *fsnotify.Watcher) {
	for _, leaf := range k.config.Leaves {
		if leaf.Directory != "" {
			watcher.Add(leaf.Directory)
		}
	}
}
