package main_test

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// ask asks the agent of the pod on its socket.
func (p pod) ask(t *testing.T, path string) (status int, text string) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(p.dir, "..agent.sock"))
		},
	}}
	response, err := client.Get("http://agent" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// expectProbes asks for startup and readiness.
func (p pod) expectProbes(t *testing.T, when string, startup, ready int, says string) {
	t.Helper()
	if status, text := p.ask(t, "/healthz"); status != http.StatusOK {
		t.Errorf("%s: /healthz is %d, %s", when, status, text)
	}
	if status, text := p.ask(t, "/startupz"); status != startup {
		t.Errorf("%s: /startupz is %d, %s, want %d", when, status, text, startup)
	}
	status, text := p.ask(t, "/readyz")
	if status != ready || ready != http.StatusOK && !strings.Contains(text, says) {
		t.Errorf("%s: /readyz is %d, %s, want %d and %q", when, status, text, ready, says)
	}
}

// awaitCount waits until a counter of the agent has grown by n.
func (p pod) awaitCount(t *testing.T, counter string, n int) {
	t.Helper()
	count := func() (count int) {
		_, metrics := p.ask(t, "/metrics")
		_, rest, _ := strings.Cut(metrics, "\nkms_agent_"+counter+" ")
		fmt.Sscan(rest, &count)
		return count
	}
	end := count() + n
	waitFor(t, counter, func() bool { return count() >= end })
}

// lying is all that lies in the directory of the set, with what a change would
// change.
func (p pod) lying(t *testing.T) (lines []string) {
	t.Helper()
	err := filepath.WalkDir(p.dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		target, _ := os.Readlink(name)
		lines = append(lines, fmt.Sprint(name, " ", target, " ", info.Mode(), info.Size(), info.ModTime(), info.Sys().(*syscall.Stat_t).Ino))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func TestNoFaultOfAServerTouchesTheFilesAndEachIsNamed(t *testing.T) {
	const away, ready = http.StatusServiceUnavailable, http.StatusOK
	tests := []struct {
		name   string
		fault  http.HandlerFunc
		reason string
		says   string
		exit   int // of init
		ready  int // of an agent whose files are there
	}{
		{"no answer", hangUp, "Unreachable", "EOF", 4, ready},
		{"half an answer", half, "Unreachable", "unexpected EOF", 4, ready},
		{"garbage", text("\x00\xffcanary"), "Unreachable", "is SiteURL the address of a KMS?", 4, ready},
		{"garbage that is JSON", text(`{"secrets":null}`), "Unreachable", "no list of secrets", 4, ready},
		{"a page", page(http.StatusOK), "Unreachable", "is SiteURL the address of a KMS?", 4, ready},
		{"an error of the server", status(http.StatusInternalServerError), "Unreachable", "status 500", 4, ready},
		{"overload", status(http.StatusServiceUnavailable), "Unreachable", "status 503", 4, ready},
		{"too many requests", status(http.StatusTooManyRequests), "Unreachable", "status 429", 4, ready},
		{"a page of a gateway", page(http.StatusBadGateway), "Unreachable", "status 502", 4, ready},
		{"a token that is not taken", status(http.StatusUnauthorized), "AuthFailed", "status 401", 3, away},
		{"a refusal", status(http.StatusForbidden), "Forbidden", "status 403", 5, away},
		{"a page that refuses", page(http.StatusForbidden), "Forbidden", "status 403", 5, ready},
		{"no such folder", status(http.StatusNotFound), "NotFound", "status 404", 6, ready},
		{"an answer that is too large", flood(true), "NoSpace", "raise maxSize", 8, ready},
		{"an answer without an end", flood(false), "NoSpace", "raise maxSize", 8, ready},
		{"an error without an end", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `{"message":"%s"}`, strings.Repeat("long ", 1<<18))
		}, "BadConfig", "status 400", 2, ready},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			s.Config.ErrorLog = discard
			p := newPod(t, s.URL, "st.good")
			s.misbehave(test.fault)
			patience := "1m"
			if test.reason == "Unreachable" { // what init waits for
				patience = "1s"
			}
			first := start(t, command(p, "init", "-timeout", patience))
			first.Wait()
			if got := first.ProcessState.ExitCode(); got != test.exit {
				t.Errorf("init ends with %d, want %d", got, test.exit)
			}
			first.says("kms-agent: "+test.reason, test.says)

			// Away from the start on.
			a := start(t, command(p, "run"))
			a.says(`"refresh failed","reason":"`+test.reason, test.says)
			p.expectProbes(t, "with nothing there", away, away, test.reason)
			s.misbehave(nil)
			awaitContent(t, p.dir+"/A", "canary-1")
			a.says("refresh recovered")
			p.expectProbes(t, "with the files there", ready, ready, "")

			// Away later.
			before := p.lying(t)
			s.misbehave(test.fault)
			waitFor(t, "another failure", func() bool { return strings.Count(a.log.String(), "refresh failed") == 2 })
			p.expectProbes(t, "with files of before", ready, test.ready, test.reason)
			if diff := cmp.Diff(before, p.lying(t)); diff != "" {
				t.Errorf("the files were touched: %s", diff)
			}
			_, metrics := p.ask(t, "/metrics")
			if strings.Contains(metrics, fmt.Sprintf("kms_agent_failures_total{reason=%q} 0\n", test.reason)) ||
				!strings.Contains(metrics, `kms_agent_polls_total{result="changed"} 1`+"\n") || strings.Contains(metrics, "canary") {
				t.Errorf("/metrics: %s", metrics)
			}
			s.version.Store(2)
			s.misbehave(nil)
			awaitContent(t, p.dir+"/A", "canary-2")
			expectSmall(t, a)
			a.terminate()
			a.expectCleanLog("canary", "st.good")
			first.expectCleanLog("canary", "st.good")
		})
	}
}

func TestAServerThatIsAtNoAddressYetIsWaitedFor(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	p := newPod(t, "http://"+address, "st.good")
	beginning := start(t, command(p, "init"))
	a := start(t, command(p, "run"))
	a.says("refresh failed", "Unreachable", "connection refused")
	p.expectProbes(t, "before the server is there", 503, 503, "Unreachable")
	s := &server{}
	s.version.Store(1)
	s.Server = httptest.NewUnstartedServer(s)
	s.Listener.Close()
	if s.Listener, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	s.Start()
	defer s.Close()
	awaitContent(t, p.dir+"/A", "canary-1")
	a.terminate()
	if err := beginning.Wait(); err != nil {
		t.Errorf("init ended with %v", err)
	}
}

func TestARedirectIsNotFollowedAndNoCredentialGoesThere(t *testing.T) {
	t.Parallel()
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	defer other.Close()
	for name, redirected := range map[string]string{"the login": "/api/v1/auth", "the list": "/api/v3/"} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasPrefix(r.URL.Path, redirected) {
					http.Redirect(w, r, other.URL+r.URL.Path, http.StatusTemporaryRedirect)
					return
				}
				s.ServeHTTP(w, r)
			}))
			defer front.Close()
			a := start(t, command(newPod(t, front.URL, "st.good"), "init", "-timeout", "1s"))
			a.Wait()
			a.says("kms-agent: Unreachable", "redirect", other.URL)
			if got := a.ProcessState.ExitCode(); got != 4 {
				t.Errorf("init ends with %d, want 4", got)
			}
		})
	}
}

func TestATokenThatIsRevokedMeanwhileCostsOneLoginAndNothingElse(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	p := newPod(t, s.URL, "st.good")
	a := start(t, command(p, "run"))
	a.says("secrets written")
	lines := a.log.String()
	s.ended.Store(1)
	polls := s.lists.Load()
	waitFor(t, "four more questions", func() bool { return s.lists.Load() >= polls+4 })
	if logins := s.logins.Load(); logins != 2 || a.log.String() != lines {
		t.Errorf("%d logins, want 2, and no line of the log", logins)
	}
	s.version.Store(2)
	awaitContent(t, p.dir+"/A", "canary-2")
	a.terminate()
	a.expectCleanLog("canary", "st.good")
}

// Answers come byte by byte: they are as good as others, and do not hold up
// the end.
func TestASlowServerIsWaitedForAndHoldsUpNoEnd(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	p := newPod(t, s.URL, "st.good")
	dripping := make(chan struct{}, 64)
	drip := func(pause time.Duration) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			answer := httptest.NewRecorder()
			clone := r.Clone(r.Context())
			clone.Header.Del("If-None-Match")
			s.answer(answer, clone)
			for _, b := range answer.Body.Bytes() {
				w.Write([]byte{b})
				http.NewResponseController(w).Flush()
				select {
				case dripping <- struct{}{}:
				default:
				}
				select {
				case <-time.After(pause):
				case <-r.Context().Done():
					return
				}
			}
		}
	}
	s.misbehave(drip(2 * time.Millisecond))
	a := start(t, command(p, "run"))
	awaitContent(t, p.dir+"/A", "canary-1")
	s.version.Store(2)
	awaitContent(t, p.dir+"/A", "canary-2")
	s.misbehave(drip(time.Hour))
	for len(dripping) > 0 {
		<-dripping
	}
	<-dripping
	a.terminate()
	expectFile(t, p.dir+"/A", "canary-2")
	if strings.Contains(a.log.String(), "refresh failed") {
		t.Error("a slow answer counts as a failure")
	}
}
