package main_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
)

// fallback is a Secret with the key A, as it is mounted.
func fallback(t *testing.T, value string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	err := os.Mkdir(dir+"/..one", 0o700)
	if err == nil {
		err = os.WriteFile(dir+"/..one/A", []byte(value), 0o600)
	}
	for name, target := range map[string]string{"..data": "..one", "A": "..data/A"} {
		if err == nil {
			err = os.Symlink(target, filepath.Join(dir, name))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// outage stands before a server. While it lasts it answers everything with its
// status.
type outage struct {
	*httptest.Server
	status atomic.Int64 // 0: it is over
}

func (s *site) outage(t *testing.T, status int) *outage {
	t.Helper()
	target, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	o := &outage{}
	o.status.Store(int64(status))
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if status := o.status.Load(); status != 0 {
			fail(w, int(status))
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(o.Close)
	return o
}

func TestAPodThatStartsInAnOutageStartsFromItsFallbackAndFollowsTheServerLater(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	l := newListener(t, nil)
	stale, fresh := s.Value(), s.Value()
	s.put("A", fresh)
	away := s.outage(t, http.StatusServiceUnavailable)
	s.pod = l.with(s.pod, object{"server": away.URL, "fallback": object{"directory": fallback(t, stale), "after": "1s"}})
	a := s.run("run")
	s.awaitFile("A", stale)
	a.says("started from the fallback", `"reason":"StaleFallback"`)
	l.expect("at the start", report{Reason: "Unreachable"})
	l.expect("with the fallback", report{Reason: "StaleFallback", Revision: 1})
	s.expectProbes(t, "with the fallback", http.StatusOK, http.StatusOK, "")
	s.expectState(t, "StaleFallback")

	a.terminate()
	a = s.run("run")
	a.says("still those of the fallback", `"reason":"StaleFallback"`)
	l.expect("after a restart", report{Reason: "StaleFallback", Revision: 1})
	s.expectProbes(t, "after a restart", http.StatusOK, http.StatusOK, "")
	expectFile(t, s.dir+"/A", stale)
	readings := s.startApp()
	expectReading(t, "at its start", readings)

	away.status.Store(0)
	expectReading(t, "when the server is back", readings, "A="+fingerprint(fresh))
	l.expect("when the server is back", report{Reason: "Synced", Revision: 2, Change: true})
	s.awaitCount(t, `polls_total{result="unchanged"}`, 2)
	s.expectState(t, "Synced")
	a.terminate()
	l.expectNoMore("at the end")
	if len(readings) != 0 {
		t.Errorf("the application was told once too often: %q", <-readings)
	}
	s.expectNoTrace(a, stale, fresh)
}

func TestOneThatStartsInAnOutageHasItsFallbackInEachMode(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	stale, fresh := s.Value(), s.Value()
	s.put("A", fresh)
	for _, status := range []int{http.StatusServiceUnavailable, http.StatusTooManyRequests, http.StatusForbidden} {
		away := s.outage(t, status)
		from := object{"server": away.URL, "fallback": object{"directory": fallback(t, stale), "after": "1s"}}
		t.Run(fmt.Sprint("init with ", status), func(t *testing.T) {
			p := s.beside(t, fmt.Sprint("init-", status)).pod.with(t, from)
			a := start(t, command(p, "init", "-timeout", "30s"))
			a.Wait()
			if status == http.StatusForbidden {
				if got := a.ProcessState.ExitCode(); got != 5 {
					t.Errorf("init ends with %d, want 5", got)
				}
				return
			}
			if got := a.ProcessState.ExitCode(); got != 0 {
				t.Errorf("init ends with %d, want 0", got)
			}
			a.says("started from the fallback", "StaleFallback")
			expectFile(t, p.dir+"/A", stale)
			a.expectCleanLog(stale)
		})
	}
	t.Run("exec", func(t *testing.T) {
		away := s.outage(t, http.StatusServiceUnavailable)
		p := s.pod.forExec(t, object{"onChange": "restart"}).with(t, object{"server": away.URL, "fallback": object{"directory": fallback(t, stale), "after": "1s"}, "listen": freeAddress(t)})
		a := p.supervise(t, `echo "A is $A"; read -r line`)
		a.says("A is " + stale)
		a.says("started from the fallback", "StaleFallback")
		for _, path := range []string{"/startupz", "/readyz"} {
			if status, text := get(t, p.listen(t), path); status != http.StatusOK {
				t.Errorf("%s is %d, %s", path, status, text)
			}
		}
		away.status.Store(0)
		a.says("A is " + fresh)
	})
}
