package webhook

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/hanzoai/kms/injector/internal/inject"
)

// Lookup is what a handler asks the cluster. A function that is nil is not
// asked; one must not block longer than its context lasts.
type Lookup struct {
	// Namespace gives the annotations of a namespace. Without its answer no pod
	// is injected, since a default of the namespace would be missed.
	Namespace func(ctx context.Context, name string) (annotations map[string]string, err error)

	// ConfigMap gives the data of a ConfigMap. Without its answer no pod that
	// names a profile is injected.
	ConfigMap func(ctx context.Context, namespace, name string) (data map[string]string, found bool, err error)

	// Secret gives the names of a Secret's keys, never a value, or nil if they
	// are not known. Its answers only make warnings.
	Secret func(ctx context.Context, namespace, name string) (keys []string, found bool, err error)
}

// patience is for all that the cluster is asked about one pod: an API server
// waits 5 s, and what it says by itself then helps nobody.
const patience = 2 * time.Second

// complete adds to the request about a pod what the cluster says.
func (l Lookup) complete(ctx context.Context, s inject.Settings, namespace string, pod inject.Pod, r *inject.Request) (err error) {
	if l.Namespace != nil {
		if r.Namespace, err = l.Namespace(ctx, namespace); err != nil {
			return fmt.Errorf("read the annotations of namespace %s: %w", namespace, err)
		}
	}
	name := pod.Profile(s, r.Namespace)
	if l.ConfigMap == nil || len(validation.IsDNS1123Subdomain(name)) > 0 {
		return nil // package inject says what is wrong with the name
	}
	data, found, err := l.ConfigMap(ctx, namespace, name)
	switch {
	case err != nil:
		return fmt.Errorf("read the profile, ConfigMap %s in namespace %s: %w", name, namespace, err)
	case found && data == nil:
		data = map[string]string{}
	case !found:
		data = nil
	}
	r.Profile = data
	return nil
}

// Of the 4096 bytes that an API server shows of warnings, package inject leaves
// these; and a pod can name more objects than anybody should be asked about.
const (
	maxMissing = 1024
	maxNeeds   = 16
)

// missing warns of what the pod will wait for.
func (l Lookup) missing(ctx context.Context, namespace string, needs []inject.Need) (warnings []string) {
	total := 0
	for _, need := range needs[:min(len(needs), maxNeeds)] {
		keys, found, err := l.keys(ctx, namespace, need)
		if err != nil {
			continue
		}
		warning := need.Missing(found, keys)
		if total += len(warning); warning != "" && total <= maxMissing {
			warnings = append(warnings, warning)
		}
	}
	return warnings
}

func (l Lookup) keys(ctx context.Context, namespace string, need inject.Need) (keys []string, found bool, err error) {
	switch {
	case need.Kind == "Secret" && l.Secret != nil:
		return l.Secret(ctx, namespace, need.Name)
	case need.Kind == "ConfigMap" && l.ConfigMap != nil:
		data, found, err := l.ConfigMap(ctx, namespace, need.Name)
		return slices.AppendSeq([]string{}, maps.Keys(data)), found, err
	}
	return nil, true, nil
}
