package kmstest_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/sdk"
	"github.com/hanzoai/kms/server/kmstest"
)

const (
	historySteps   = 2000 // of each engine
	historyWorkers = 8
	historyKeys    = 4
)

// history is what clients were told, and checks each answer against it:
//   - an acknowledged write is in every read that begins after it,
//   - one reader never goes back,
//   - the versions of a key are 1, 2, 3 and so on, each given to one write,
//   - a version has the value that was written as it,
//   - access that was taken or given holds from the acknowledgement on.
type history struct {
	t        *testing.T
	project  api.Project
	replicas []*kmstest.Server
	reader   kmstest.Credentials
	admins   []*sdk.Client // by replica
	readers  []*sdk.Client

	mu     sync.Mutex
	acked  [historyKeys]map[int64]write // by version
	shown  map[seen]bool                // what reads have shown, checked at the end
	writes int

	access  sync.Mutex   // held while access is changed
	epoch   atomic.Int64 // odd while it is
	allowed atomic.Bool
}

type write struct {
	value   string
	replica int
	at      time.Time
}

type seen struct {
	key     int
	version int64
	value   string
}

// floors are the versions below which a read that begins now must not be.
type floors [historyKeys]int64

// floor is what was acknowledged before; the other replicas' writes count when
// they are older than age.
func (h *history) floor(replica int, age time.Duration) (f floors) {
	h.mu.Lock()
	defer h.mu.Unlock()
	limit := time.Now().Add(-age)
	for key, versions := range h.acked {
		for version, w := range versions {
			if w.replica == replica || age == 0 || w.at.Before(limit) {
				f[key] = max(f[key], version)
			}
		}
	}
	return f
}

func (h *history) scope() sdk.Scope { return sdk.Scope{ProjectID: h.project.ID, Environment: "dev"} }

func (h *history) write(ctx context.Context, key int) {
	replica := rand.IntN(len(h.replicas))
	h.mu.Lock()
	h.writes++
	value := fmt.Sprint("write ", h.writes)
	h.mu.Unlock()
	secret, err := h.admins[replica].Update(ctx, h.scope(), sdk.SecretInput{Key: fmt.Sprint("KEY_", key), Value: &value})
	if err != nil {
		h.t.Errorf("write: %v", err)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if other, twice := h.acked[key][secret.Version]; twice {
		h.t.Errorf("version %d was given to %q and to %q", secret.Version, other.value, value)
	}
	h.acked[key][secret.Version] = write{value, replica, time.Now()}
}

// toggle takes the reader's access or gives it back.
func (h *history) toggle(ctx context.Context) {
	h.access.Lock()
	defer h.access.Unlock()
	role := "viewer"
	if h.allowed.Load() {
		role = "no-access"
	}
	h.epoch.Add(1)
	if _, err := h.admins[rand.IntN(len(h.admins))].UpdateIdentityInProject(ctx, h.project.ID, h.reader.IdentityID, api.MembershipRole{Role: role}); err != nil {
		h.t.Errorf("change the role: %v", err)
		return
	}
	h.allowed.Store(role == "viewer")
	h.epoch.Add(1)
}

// observer is one reader, with what it saw on each replica.
type observer struct {
	last floors
	tags []string // ETag of the last list, by replica
	held []floors // what that list showed
}

func (h *history) read(ctx context.Context, o *observer) {
	replica := rand.IntN(len(h.replicas))
	conditional := rand.IntN(2) == 0
	age := time.Duration(0)
	options := sdk.ListSecretsOptions{ProjectID: h.project.ID, Environment: "dev"}
	if conditional {
		options.IfNoneMatch = o.tags[replica]
	}
	epoch, allowed := h.epoch.Load(), h.allowed.Load()
	now, other := h.floor(replica, 0), h.floor(replica, time.Second)
	result, err := h.readers[replica].List(ctx, options)
	stable := epoch%2 == 0 && h.epoch.Load() == epoch
	if err != nil {
		if !errors.Is(err, api.ErrDenied) || stable && allowed {
			h.t.Errorf("read, allowed %t: %v", allowed, err)
		}
		return
	}
	got := o.held[replica]
	if result.NotModified {
		age = time.Second
		now = other
	} else {
		if stable && !allowed {
			h.t.Error("read a value after access was taken")
		}
		got = h.parse(result.Secrets)
		o.tags[replica], o.held[replica] = result.ETag, got
	}
	for key := range got {
		if got[key] < now[key] {
			h.t.Errorf("KEY_%d: read version %d after version %d was acknowledged (%s ago or on this replica)", key, got[key], now[key], age)
		}
		if age == 0 && got[key] < o.last[key] {
			h.t.Errorf("KEY_%d: read version %d after having read version %d", key, got[key], o.last[key])
		}
		o.last[key] = max(o.last[key], got[key])
	}
}

func (h *history) parse(secrets []sdk.Secret) (f floors) {
	if len(secrets) != historyKeys {
		h.t.Errorf("read %d secrets, want %d", len(secrets), historyKeys)
		return f
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for key, secret := range secrets { // sorted
		f[key] = secret.Version
		h.shown[seen{key, secret.Version, secret.SecretValue}] = true
	}
	return f
}

// close checks what can be checked once all writes have answered.
func (h *history) close() {
	h.t.Helper()
	secrets, err := h.admins[len(h.admins)-1].List(context.Background(), sdk.ListSecretsOptions{ProjectID: h.project.ID, Environment: "dev"})
	if err != nil {
		h.t.Fatal(err)
	}
	got := h.parse(secrets.Secrets)
	for key, versions := range h.acked {
		for version := int64(1); version <= int64(len(versions)); version++ {
			if _, ok := versions[version]; !ok {
				h.t.Errorf("KEY_%d: no write was given version %d", key, version)
			}
		}
		if got[key] != int64(len(versions)) {
			h.t.Errorf("KEY_%d: its last version is %d of %d", key, got[key], len(versions))
		}
	}
	for s := range h.shown {
		if w := h.acked[s.key][s.version]; w.value != s.value {
			h.t.Errorf("KEY_%d version %d: read %q, written was %q", s.key, s.version, s.value, w.value)
		}
	}
}

func TestTwoThousandInterleavingsKeepTheirPromises(t *testing.T) {
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		t.Parallel()
		// Few connections: whoever holds one while he waits for another is found.
		one := kmstest.New(t, kmstest.Options{Engine: engine, Configure: func(c *kmstest.Config) { c.MaxConns = 4 }})
		h := &history{t: t, project: one.Project("shop"), replicas: []*kmstest.Server{one}, shown: map[seen]bool{}}
		if engine == kmstest.Postgres {
			h.replicas = append(h.replicas, kmstest.New(t, kmstest.Options{Beside: one}))
		}
		for key := range historyKeys {
			one.Put(h.project, "dev", "/", fmt.Sprint("KEY_", key), "first")
			h.acked[key] = map[int64]write{1: {"first", 0, time.Now()}}
		}
		h.reader = one.Identity(h.project, "viewer")
		h.allowed.Store(true)
		token := login(t, one, h.reader)
		for _, replica := range h.replicas {
			h.admins, h.readers = append(h.admins, replica.Admin()), append(h.readers, replica.WithToken(token))
		}
		h.run(t.Context())
		h.close()
	})
}

// run takes the steps, each worker in an order of its own.
func (h *history) run(ctx context.Context) {
	var workers sync.WaitGroup
	var steps atomic.Int64
	for range historyWorkers {
		o := &observer{tags: make([]string, len(h.replicas)), held: make([]floors, len(h.replicas))}
		workers.Go(func() {
			for steps.Add(1) <= historySteps {
				switch n := rand.IntN(20); {
				case n < 6:
					h.write(ctx, rand.IntN(historyKeys))
				case n < 7:
					h.toggle(ctx)
				default:
					h.read(ctx, o)
				}
			}
		})
	}
	workers.Wait()
}
