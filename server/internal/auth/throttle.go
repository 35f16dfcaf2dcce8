package auth

import (
	"container/list"
	"net/netip"
	"sync"
	"time"
)

// UnknownClient stands in a Key for a client or person that does not exist.
// It is no id, so it never meets a real one.
const UnknownClient = "unknown"

// Key is what wrong attempts are counted under. With the source in it, one who
// merely knows a client id cannot lock out those who use it from elsewhere.
type Key struct {
	// ClientID is the id that the store resolved, or UnknownClient; for a
	// person it is the e-mail address in its one spelling. It is never the text
	// of the request: spelled in another case or with a space, that would be a
	// fresh start.
	ClientID string
	Source   netip.Prefix // as SourcePrefix gives it
}

// Limits is when wrong attempts lock. A zero field is its default.
type Limits struct {
	Threshold int           // wrong attempts that lock; 3
	Reset     time.Duration // without a wrong attempt, after which counting starts again; 30 s
	Lock      time.Duration // for which a lock lasts; 300 s
}

func (l Limits) withDefaults() Limits {
	if l.Threshold <= 0 {
		l.Threshold = 3
	}
	if l.Reset <= 0 {
		l.Reset = 30 * time.Second
	}
	if l.Lock <= 0 {
		l.Lock = 300 * time.Second
	}
	return l
}

// defaultMaxAttempts is how many keys a Throttle of no given size remembers:
// about 2 MB.
const defaultMaxAttempts = 10000

// Throttle counts wrong attempts in memory. When it is full it forgets the key
// that was wrong longest ago: a flood of sources costs bounded memory.
//
// The caller checks a client secret first and asks here only about a wrong one,
// so a lock never refuses a right one: client secrets cannot be guessed, and a
// lock that refused them would be a switch to turn off somebody's deployment.
// Passwords can be guessed, so for them it asks Locked before it verifies.
//
// The zero Throttle remembers 10,000 keys. It may be used from many goroutines.
type Throttle struct {
	max int

	mu       sync.Mutex
	attempts map[Key]*list.Element // of *attempt
	recent   list.List             // of *attempt, the latest in front
}

// attempt is the wrong attempts of one key.
type attempt struct {
	key         Key
	count       int
	last        time.Time
	lockedUntil time.Time // zero: not locked
}

// NewThrottle makes a Throttle that remembers at most max keys; 0 is the
// default.
func NewThrottle(max int) *Throttle { return &Throttle{max: max} }

// Wrong counts one wrong attempt and reports whether the key is locked, by this
// attempt or since before, and for how long still. Attempts against a lock do
// not prolong it.
func (t *Throttle) Wrong(key Key, limits Limits, now time.Time) (locked bool, retry time.Duration) {
	limits = limits.withDefaults()
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.touch(key)
	if now.Before(a.lockedUntil) {
		return true, a.lockedUntil.Sub(now)
	}
	if !a.lockedUntil.IsZero() || now.Sub(a.last) >= limits.Reset {
		*a = attempt{key: key}
	}
	a.count++
	a.last = now
	if a.count < limits.Threshold {
		return false, 0
	}
	a.lockedUntil = now.Add(limits.Lock)
	return true, limits.Lock
}

// Locked reports whether the key is locked at now and for how long still. It
// counts nothing.
func (t *Throttle) Locked(key Key, now time.Time) (locked bool, retry time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	element, ok := t.attempts[key]
	if !ok {
		return false, 0
	}
	until := element.Value.(*attempt).lockedUntil
	if !now.Before(until) {
		return false, 0
	}
	return true, until.Sub(now)
}

// Clear forgets all wrong attempts for clientID and returns from how many
// sources there were some.
func (t *Throttle) Clear(clientID string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	cleared := 0
	for key, element := range t.attempts {
		if key.ClientID == clientID {
			t.forget(element)
			cleared++
		}
	}
	return cleared
}

// touch gives the attempts of key, new ones if there are none, and makes them
// the latest. t.mu is held.
func (t *Throttle) touch(key Key) *attempt {
	if element, ok := t.attempts[key]; ok {
		t.recent.MoveToFront(element)
		return element.Value.(*attempt)
	}
	if t.attempts == nil {
		t.attempts = make(map[Key]*list.Element)
	}
	for len(t.attempts) >= t.size() {
		t.forget(t.recent.Back())
	}
	a := &attempt{key: key}
	t.attempts[key] = t.recent.PushFront(a)
	return a
}

func (t *Throttle) forget(element *list.Element) {
	delete(t.attempts, t.recent.Remove(element).(*attempt).key)
}

func (t *Throttle) size() int {
	if t.max <= 0 {
		return defaultMaxAttempts
	}
	return t.max
}
