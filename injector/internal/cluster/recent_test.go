package cluster

import (
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

func TestAnAnswerIsRememberedForAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r recent[int]
		asked := 0
		ask := func(found bool, err error) func() (int, bool, error) {
			return func() (int, bool, error) { asked++; return asked, found, err }
		}
		expect := func(want, times int) {
			t.Helper()
			if got, found, err := r.get("shop", "web", ask(true, nil)); got != want || !found || err != nil || asked != times {
				t.Errorf("%d, %v, %v after %d questions, want %d after %d", got, found, err, asked, want, times)
			}
		}
		r.get("shop", "web", ask(false, nil))
		r.get("shop", "web", ask(true, errors.New("away")))
		expect(3, 3) // neither was kept
		time.Sleep(recently - 1)
		expect(3, 3)
		r.get("other", "web", ask(true, nil))
		time.Sleep(time.Nanosecond)
		expect(5, 5)
		for n := range maxRecent {
			r.get("shop", strconv.Itoa(n), ask(true, nil))
		}
		if len(r.said) > maxRecent {
			t.Errorf("%d are kept", len(r.said))
		}
	})
}
