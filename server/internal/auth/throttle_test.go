package auth_test

import (
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hanzoai/kms/server/internal/auth"
)

func source(text string) netip.Prefix { return auth.SourcePrefix(netip.MustParseAddr(text)) }

var (
	deploy   = auth.Key{ClientID: "0195a000-0000-7000-8000-00000000000a", Source: source("203.0.113.9")}
	deploy6  = auth.Key{ClientID: deploy.ClientID, Source: source("2001:db8::1")}
	other    = auth.Key{ClientID: "0195a000-0000-7000-8000-00000000000b", Source: deploy.Source}
	stranger = auth.Key{ClientID: auth.UnknownClient, Source: deploy.Source}
)

// step is one wrong attempt, or one look, at a time since the start.
type step struct {
	at    time.Duration
	key   auth.Key
	look  bool          // Locked instead of Wrong
	retry time.Duration // 0: not locked
}

func TestWrongAttemptsLock(t *testing.T) {
	const s = time.Second
	for name, test := range map[string]struct {
		limits auth.Limits
		steps  []step
	}{
		"the third in a row, for 300 s": {auth.Limits{}, []step{
			{at: 0, key: deploy}, {at: 1 * s, key: deploy}, {at: 2 * s, key: deploy, retry: 300 * s},
		}},
		"attempts against a lock do not prolong it": {auth.Limits{}, []step{
			{at: 0, key: deploy}, {at: 0, key: deploy}, {at: 0, key: deploy, retry: 300 * s},
			{at: 100 * s, key: deploy, retry: 200 * s},
			{at: 299 * s, key: deploy, retry: 1 * s},
			{at: 300*s - 1, key: deploy, retry: 1},
		}},
		"a lock that ends starts anew": {auth.Limits{}, []step{
			{at: 0, key: deploy}, {at: 0, key: deploy}, {at: 0, key: deploy, retry: 300 * s},
			{at: 300 * s, key: deploy}, {at: 301 * s, key: deploy}, {at: 302 * s, key: deploy, retry: 300 * s},
		}},
		"a lock shorter than the reset starts anew as well": {auth.Limits{Lock: 5 * s}, []step{
			{at: 0, key: deploy}, {at: 0, key: deploy}, {at: 0, key: deploy, retry: 5 * s},
			{at: 5 * s, key: deploy}, {at: 6 * s, key: deploy}, {at: 7 * s, key: deploy, retry: 5 * s},
		}},
		"30 s without one forget the earlier": {auth.Limits{}, []step{
			{at: 0, key: deploy}, {at: 1 * s, key: deploy}, {at: 31 * s, key: deploy}, {at: 32 * s, key: deploy}, {at: 33 * s, key: deploy, retry: 300 * s},
		}},
		"a nanosecond less does not": {auth.Limits{}, []step{
			{at: 0, key: deploy}, {at: 1 * s, key: deploy}, {at: 31*s - 1, key: deploy, retry: 300 * s},
		}},
		"not from another source": {auth.Limits{}, []step{
			{at: 0, key: deploy}, {at: 0, key: deploy}, {at: 0, key: deploy, retry: 300 * s},
			{at: 1 * s, key: deploy6}, {at: 1 * s, key: deploy6, look: true},
		}},
		"not another client from the same source": {auth.Limits{}, []step{
			{at: 0, key: deploy}, {at: 0, key: deploy}, {at: 0, key: deploy, retry: 300 * s},
			{at: 1 * s, key: other}, {at: 1 * s, key: stranger},
		}},
		"unknown clients of one source together": {auth.Limits{}, []step{
			{at: 0, key: stranger}, {at: 0, key: stranger}, {at: 0, key: stranger, retry: 300 * s},
		}},
		"any address of an IPv6 network together": {auth.Limits{}, []step{
			{at: 0, key: deploy6},
			{at: 0, key: auth.Key{ClientID: deploy.ClientID, Source: source("2001:db8::2")}},
			{at: 0, key: auth.Key{ClientID: deploy.ClientID, Source: source("2001:db8::ffff:ffff:ffff:ffff")}, retry: 300 * s},
		}},
		"as configured": {auth.Limits{Threshold: 2, Reset: 5 * s, Lock: 60 * s}, []step{
			{at: 0, key: deploy}, {at: 5 * s, key: deploy}, {at: 9 * s, key: deploy, retry: 60 * s}, {at: 69 * s, key: deploy},
		}},
		"at the first": {auth.Limits{Threshold: 1}, []step{{at: 0, key: deploy, retry: 300 * s}}},
		"a negative limit is the default": {auth.Limits{Threshold: -1, Reset: -1, Lock: -1}, []step{
			{at: 0, key: deploy}, {at: 0, key: deploy}, {at: 0, key: deploy, retry: 300 * s},
		}},
		"a look counts nothing": {auth.Limits{}, []step{
			{at: 0, key: deploy, look: true}, {at: 0, key: deploy, look: true}, {at: 0, key: deploy, look: true},
			{at: 0, key: deploy}, {at: 0, key: deploy}, {at: 0, key: deploy, look: true},
			{at: 0, key: deploy, retry: 300 * s}, {at: 1 * s, key: deploy, look: true, retry: 299 * s},
			{at: 300 * s, key: deploy, look: true},
		}},
		"a clock that goes back a little": {auth.Limits{}, []step{
			{at: 10 * s, key: deploy}, {at: 9 * s, key: deploy}, {at: 8 * s, key: deploy, retry: 300 * s},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			throttle := auth.NewThrottle(0)
			for i, step := range test.steps {
				now := start.Add(step.at)
				locked, retry := false, time.Duration(0)
				if step.look {
					locked, retry = throttle.Locked(step.key, now)
				} else {
					locked, retry = throttle.Wrong(step.key, test.limits, now)
				}
				if locked != (step.retry > 0) || retry != step.retry {
					t.Errorf("step %d at %s: locked %t for %s, want %s", i+1, step.at, locked, retry, step.retry)
				}
			}
		})
	}
}

func lock(t *testing.T, throttle *auth.Throttle, key auth.Key) {
	t.Helper()
	if locked, _ := throttle.Wrong(key, auth.Limits{Threshold: 1}, start); !locked {
		t.Fatal("not locked")
	}
}

func TestClearForgetsAllSourcesOfOneClient(t *testing.T) {
	throttle := auth.NewThrottle(10)
	for _, key := range []auth.Key{deploy, deploy6, other, stranger} {
		lock(t, throttle, key)
	}
	if got := throttle.Clear(deploy.ClientID); got != 2 {
		t.Errorf("cleared %d, want 2", got)
	}
	for key, want := range map[auth.Key]bool{deploy: false, deploy6: false, other: true, stranger: true} {
		if got, _ := throttle.Locked(key, start); got != want {
			t.Errorf("%s from %s: locked %t, want %t", key.ClientID, key.Source, got, want)
		}
	}
	if got := throttle.Clear(deploy.ClientID); got != 0 {
		t.Errorf("cleared %d again, want 0", got)
	}
	if locked, _ := throttle.Wrong(deploy, auth.Limits{}, start); locked {
		t.Error("the first wrong attempt after Clear locks")
	}
}

func TestAFullThrottleForgetsWhoWasWrongLongestAgo(t *testing.T) {
	throttle := auth.NewThrottle(3)
	lock(t, throttle, deploy)
	lock(t, throttle, deploy6)
	lock(t, throttle, other)
	throttle.Wrong(deploy, auth.Limits{}, start.Add(time.Second)) // the oldest key, but the latest attempt
	lock(t, throttle, stranger)
	for key, want := range map[auth.Key]bool{deploy: true, deploy6: false, other: true, stranger: true} {
		if got, _ := throttle.Locked(key, start); got != want {
			t.Errorf("%s from %s: locked %t, want %t", key.ClientID, key.Source, got, want)
		}
	}
}

func TestAFloodOfSourcesTakesBoundedMemory(t *testing.T) {
	for name, test := range map[string]struct {
		throttle *auth.Throttle
		max      int
	}{
		"as configured": {auth.NewThrottle(100), 100},
		"one":           {auth.NewThrottle(1), 1},
		"by default":    {auth.NewThrottle(0), 10000},
		"negative":      {auth.NewThrottle(-1), 10000},
		"zero value":    {new(auth.Throttle), 10000},
	} {
		for i := range test.max + 500 {
			addr := netip.AddrFrom4([4]byte{100, byte(i >> 16), byte(i >> 8), byte(i)})
			test.throttle.Wrong(auth.Key{ClientID: auth.UnknownClient, Source: auth.SourcePrefix(addr)}, auth.Limits{}, start)
		}
		if keys, order := test.throttle.Remembered(); keys != test.max || order != test.max {
			t.Errorf("%s: %d keys and %d in order, want %d", name, keys, order, test.max)
		}
	}
}

func TestAttemptsAtOnceAreAllCounted(t *testing.T) {
	throttle := auth.NewThrottle(50)
	limits := auth.Limits{Threshold: 100}
	var free atomic.Int64
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 50 {
				if locked, _ := throttle.Wrong(deploy, limits, start); !locked {
					free.Add(1)
				}
				throttle.Locked(deploy, start)
				throttle.Wrong(auth.Key{ClientID: fmt.Sprint(i)}, limits, start)
				throttle.Clear(fmt.Sprint(i))
			}
		})
	}
	all.Wait()
	if got := free.Load(); got != 99 {
		t.Errorf("%d attempts passed before the lock, want 99", got)
	}
}
