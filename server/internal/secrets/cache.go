package secrets

import (
	"sync"

	"github.com/hanzoai/kms/server/internal/store"
)

// entity names what a request is resolved from, as the change feed does.
type entity struct{ kind, id string }

// cache keeps entities until the change feed says that they changed. Entities
// are immutable once they are in it, and hold no plaintext.
//
// Each look at the feed that found something is a tick. An entity that a
// request took at tick t is stale once it changed at a later tick. What is
// loaded from the database is known to be as new as the tick at which the
// loading began, so it is kept only if no change came in between.
type cache struct {
	max int64

	mu      sync.RWMutex
	tick    uint64
	floor   uint64            // what was taken before it counts as stale
	changed map[entity]uint64 // tick of the last change
	entries map[entity]entry
	bytes   int64
	revoked map[string]struct{} // ids of tokens
}

type entry struct {
	value any
	bytes int64
}

func newCache(max int64) *cache {
	return &cache{max: max, changed: map[entity]uint64{}, entries: map[entity]entry{}, revoked: map[string]struct{}{}}
}

// maxChanged bounds the memory of changes; beyond it all is forgotten at once.
const maxChanged = 100_000

func (c *cache) apply(changes []store.Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tick++
	if len(c.changed)+len(changes) > maxChanged {
		c.floor = c.tick
		clear(c.changed)
		clear(c.entries)
		c.bytes = 0
	}
	for _, change := range changes {
		e := entity{change.Kind, change.EntityID}
		c.changed[e] = c.tick
		c.bytes -= c.entries[e].bytes
		delete(c.entries, e)
		if change.Kind == store.KindToken {
			c.revoked[change.EntityID] = struct{}{}
		}
	}
}

// get gives an entity, if it is there, and the tick of now.
func (c *cache) get(e entity) (value any, tick uint64, found bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	got, found := c.entries[e]
	return got.value, c.tick, found
}

// put keeps an entity whose loading began at tick, unless it changed since.
func (c *cache) put(e entity, value any, bytes int64, tick uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.staleLocked(e, tick) {
		return
	}
	c.bytes += bytes - c.entries[e].bytes
	c.entries[e] = entry{value, bytes}
	for victim, old := range c.entries { // in random order
		if c.bytes <= c.max {
			break
		}
		if victim != e {
			c.bytes -= old.bytes
			delete(c.entries, victim)
		}
	}
}

func (c *cache) staleLocked(e entity, tick uint64) bool {
	return tick < c.floor || c.changed[e] > tick
}

// fresh reports whether nothing of what was noted has changed since.
func (c *cache) fresh(notes []note) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, n := range notes {
		if c.staleLocked(n.entity, n.tick) {
			return false
		}
	}
	return true
}

func (c *cache) isRevoked(tokenID string) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	_, revoked := c.revoked[tokenID]
	return revoked
}

// setRevoked replaces the revoked tokens by those of the database, which has
// dropped the expired ones.
func (c *cache) setRevoked(ids []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// Ids that came by the feed after the database was read must stay, so
	// nothing is taken out unless it can no longer matter: the set is rebuilt
	// only when it has grown to a multiple of what is needed.
	if len(c.revoked) > 2*len(ids)+1000 {
		c.revoked = make(map[string]struct{}, len(ids))
		c.floor = c.tick + 1 // requests under way are resolved anew
		c.tick++
		clear(c.entries)
		c.bytes = 0
	}
	for _, id := range ids {
		c.revoked[id] = struct{}{}
	}
}

// note is an entity that a request was resolved from, and when it was taken.
type note struct {
	entity
	tick uint64
}

// size is the number of entries and their bytes, for the metrics.
func (c *cache) size() (entries int, bytes int64) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return len(c.entries), c.bytes
}

// now is the tick of now.
func (c *cache) now() uint64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.tick
}
