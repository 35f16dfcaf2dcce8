package deliver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hanzoai/kms/agent/internal/deliver"
)

// gaps are the waits between the lists after the first n, for answers that
// take no time.
func (k *kms) gaps(n int) (gaps []time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := n; i+1 < len(k.lists); i++ {
		gaps = append(gaps, k.lists[i+1].Sub(k.lists[i]))
	}
	return gaps
}

// keep runs an agent in a bubble. end stops it and gives what it ended with.
func keep(t *testing.T, agent *deliver.Agent) (end func() error) {
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- agent.Keep(ctx, nil) }()
	time.Sleep(time.Second) // until who was notified is on record
	synctest.Wait()
	return func() error { stop(); return <-ended }
}

// hang is a server that answers with a byte now and then, and never to an end.
func hang(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, ContentLength: -1, Header: http.Header{}, Body: drip{r.Context()}}, nil
}

type drip struct{ ctx context.Context }

func (d drip) Read(p []byte) (int, error) {
	select {
	case <-time.After(7 * time.Second):
		p[0] = ' '
		return 1, nil
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	}
}

func (drip) Close() error { return nil }

func TestAnOutageOfAnHourIsTwoLinesAndBackedOff(t *testing.T) {
	tests := []struct {
		name    string
		fault   func(*http.Request) (*http.Response, error)
		atMost  time.Duration // between two questions
		atLeast int           // questions in the hour
	}{
		{"away", func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") }, time.Minute, 60},
		{"overloaded", answerWith(http.StatusServiceUnavailable, ""), time.Minute, 60},
		{"broken", answerWith(http.StatusInternalServerError, ""), time.Minute, 60},
		{"a page of a gateway", answerWith(http.StatusBadGateway, "<html>"), time.Minute, 60},
		{"answers that never end", hang, 90 * time.Second, 40},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := &kms{}
				k.set("A=1")
				dir := memoryDir(t)
				agent, log := k.agent(t, dir)
				end := keep(t, agent)
				log.Reset()
				before := states(t, dir)
				k.misbehave(test.fault)
				time.Sleep(time.Hour)
				gaps := k.gaps(1)
				if diff := cmp.Diff(before, states(t, dir)); diff != "" {
					t.Errorf("after an hour: %s", diff)
				}
				k.misbehave(nil)
				k.set("A=2")
				time.Sleep(3 * time.Minute)
				synctest.Wait()
				if err := end(); err != nil {
					t.Errorf("Run: %v", err)
				}
				if diff := cmp.Diff([]string{"A=2"}, visible(t, dir)); diff != "" {
					t.Error(diff)
				}
				got := log.String()
				if strings.Count(got, "refresh failed") != 1 || strings.Count(got, "refresh recovered") != 1 ||
					strings.Count(got, "\n") != 3 || !strings.Contains(got, `"reason":"Unreachable"`) {
					t.Errorf("want one failure, one recovery and the new files in the log, which is %s", got)
				}
				if len(gaps) < test.atLeast || len(gaps) > 300 {
					t.Errorf("%d questions in an hour of outage", len(gaps))
				}
				for _, gap := range gaps {
					if gap > test.atMost {
						t.Errorf("%v between two questions, want %v at most", gap, test.atMost)
					}
				}
			})
		})
	}
}

// misbehave makes every list be answered by fault; nil ends that.
func (k *kms) misbehave(fault func(*http.Request) (*http.Response, error)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fault = fault
}

// answerWith answers a body, or, where it is "", an error as the server does.
func answerWith(status int, body string) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		if body == "" {
			refuse(w, status)
		} else {
			w.WriteHeader(status)
			io.WriteString(w, body)
		}
		return w.Result(), nil
	}
}

func TestAServerThatAsksToWaitIsObeyedWithinReason(t *testing.T) {
	now := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC) // by the server's clock
	date := func(t time.Time) string { return t.Format(http.TimeFormat) }
	tests := []struct {
		name    string
		header  map[string]string
		atLeast time.Duration
		atMost  time.Duration
	}{
		{"seconds", map[string]string{"Retry-After": "120"}, 2 * time.Minute, 2 * time.Minute},
		{"a date on the server's clock", map[string]string{"Date": date(now), "Retry-After": date(now.Add(100 * time.Second))}, 100 * time.Second, 100 * time.Second},
		{"a date that has passed", map[string]string{"Date": date(now), "Retry-After": date(now.Add(-time.Hour))}, 0, time.Minute},
		{"a date in a year without the server's clock", map[string]string{"Retry-After": date(time.Now().AddDate(1, 0, 0))}, 0, time.Minute},
		{"a year", map[string]string{"Retry-After": "31536000"}, 5 * time.Minute, 5 * time.Minute},
		{"more than fits", map[string]string{"Retry-After": "99999999999999999999"}, 5 * time.Minute, 5 * time.Minute},
		{"a date in a century", map[string]string{"Date": date(now), "Retry-After": date(now.AddDate(100, 0, 0))}, 5 * time.Minute, 5 * time.Minute},
		{"less than nothing", map[string]string{"Retry-After": "-5"}, 0, time.Minute},
		{"nonsense", map[string]string{"Retry-After": "soon"}, 0, time.Minute},
	}
	for _, test := range tests {
		for _, status := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable} {
			t.Run(fmt.Sprint(test.name, " with ", status), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					k := &kms{status: status, header: func() http.Header {
						header := http.Header{}
						for name, value := range test.header {
							header.Set(name, value)
						}
						return header
					}}
					agent, _ := k.agent(t, memoryDir(t))
					end := keep(t, agent)
					time.Sleep(30 * time.Minute)
					end()
					gaps := k.gaps(0)
					if len(gaps) < 5 {
						t.Errorf("%d questions in half an hour", len(gaps))
					}
					for _, gap := range gaps {
						if gap < test.atLeast || gap > test.atMost {
							t.Errorf("%v between two questions, want %v to %v", gap, test.atLeast, test.atMost)
						}
					}
				})
			})
		}
	}
}

func TestNoDecisionIsTakenFromTheClockOfTheServer(t *testing.T) {
	clocks := map[string]func() time.Time{
		"right":         time.Now,
		"a year behind": func() time.Time { return time.Now().AddDate(-1, 0, 0) },
		"a year ahead":  func() time.Time { return time.Now().AddDate(1, 0, 0) },
		"jumping":       func() time.Time { return time.Now().AddDate(0, 0, rand.N(8000)-4000) },
	}
	for name, clock := range clocks {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := &kms{header: func() http.Header {
					now := clock().UTC()
					return http.Header{"Date": {now.Format(http.TimeFormat)}, "Expires": {now.Format(http.TimeFormat)}, "Last-Modified": {now.Format(http.TimeFormat)}}
				}}
				k.set("A=1")
				dir := memoryDir(t)
				agent, log := k.agent(t, dir)
				end := keep(t, agent)
				lines := log.String()
				time.Sleep(24 * time.Hour)
				k.set("A=2")
				time.Sleep(67 * time.Second)
				synctest.Wait()
				end()
				// A token of two hours is renewed at two thirds, give or take a twentieth.
				if n := len(k.logins); n < 15 || n > 20 {
					t.Errorf("%d logins in a day, want about 18", n)
				}
				if n := len(k.lists); n < 1300 || n > 1600 || k.full != 2 {
					t.Errorf("%d questions in a day, %d answered in full, want about 1440 and 2", n, k.full)
				}
				if diff := cmp.Diff([]string{"A=2"}, visible(t, dir)); diff != "" {
					t.Error(diff)
				}
				if got := strings.TrimPrefix(log.String(), lines); strings.Count(got, "\n") != 1 {
					t.Errorf("a day with one change logs %s", got)
				}
			})
		})
	}
}
