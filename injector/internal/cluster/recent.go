package cluster

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

const (
	recently  = 2 * time.Second
	maxRecent = 1024
)

// recent keeps what the API server has said, for a moment: the pods of one
// workload come together, and ask for the same. That something is not there is
// not kept, since the next one who asks has often just made it.
type recent[T any] struct {
	mu   sync.Mutex // guards what follows
	said map[types.NamespacedName]saying[T]
}

type saying[T any] struct {
	what T
	when time.Time
}

func (r *recent[T]) get(namespace, name string, ask func() (T, bool, error)) (what T, found bool, err error) {
	key := types.NamespacedName{Namespace: namespace, Name: name}
	r.mu.Lock()
	known, said := r.said[key]
	r.mu.Unlock()
	if said && time.Since(known.when) < recently {
		return known.what, true, nil
	}
	asked := time.Now() // it may change while it is on its way
	if what, found, err = ask(); found && err == nil {
		r.keep(key, saying[T]{what, asked})
	}
	return what, found, err
}

func (r *recent[T]) keep(key types.NamespacedName, now saying[T]) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.said == nil || len(r.said) >= maxRecent {
		r.said = map[types.NamespacedName]saying[T]{}
	}
	r.said[key] = now
}
