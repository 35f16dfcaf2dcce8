package main_test

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// report is what a listener is told.
type report struct {
	Reason   string `json:"reason"`
	Revision int    `json:"revision"`
	Age      int    `json:"age"`
	Change   bool   `json:"change"`
}

// listener takes reports. Each try comes out of tried, with its token; answer
// is what it gets, 200 without one.
type listener struct {
	*httptest.Server
	t         *testing.T
	tokenFile string
	tried     chan report
	tokens    chan string
	answer    func(w http.ResponseWriter, r *http.Request)
}

func newListener(t *testing.T, answer http.HandlerFunc) *listener {
	t.Helper()
	l := &listener{t: t, tokenFile: filepath.Join(t.TempDir(), "token"), tried: make(chan report, 64), tokens: make(chan string, 64), answer: answer}
	l.Server = httptest.NewUnstartedServer(l)
	l.Config.ErrorLog = discard
	l.StartTLS()
	t.Cleanup(l.Close)
	l.giveToken("canary-first")
	return l
}

func (l *listener) giveToken(token string) { replace(l.t, l.tokenFile, []byte(token+"\n")) }

func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(io.LimitReader(r.Body, 1<<10))
	var got report
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.DisallowUnknownFields()
	if err != nil || decoder.Decode(&got) != nil || r.Method != http.MethodPost || r.URL.Path != "/report" || got.Age < 0 || got.Age > 600 {
		l.t.Errorf("%s %s: %q, %v", r.Method, r.URL, text, err)
	}
	got.Age = 0
	l.tokens <- r.Header.Get("Authorization")
	l.tried <- got
	if l.answer != nil {
		l.answer(w, r)
	}
}

func (l *listener) authority() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: l.Certificate().Raw}))
}

// with is the pod that reports to the listener.
func (l *listener) with(p pod, more object) pod {
	return p.with(l.t, object{"report": object{"url": l.URL + "/report", "ca": l.authority(), "tokenFile": l.tokenFile, "splay": "0s"}}).with(l.t, more)
}

// expect waits for the next try.
func (l *listener) expect(when string, want report) {
	l.t.Helper()
	select {
	case got := <-l.tried:
		if got != want {
			l.t.Errorf("%s: the report is %+v, want %+v", when, got, want)
		}
	case <-time.After(time.Minute):
		l.t.Fatalf("%s: no report came", when)
	}
}

func (l *listener) expectNoMore(when string) {
	l.t.Helper()
	if len(l.tried) > 0 {
		l.t.Errorf("%s: there is another report: %+v", when, <-l.tried)
	}
}

// awaitReports waits until so many reports have come to this end.
func (p pod) awaitReports(t *testing.T, result string, n int) {
	t.Helper()
	waitFor(t, fmt.Sprint(n, " reports ", result), func() bool {
		_, metrics := p.ask(t, "/metrics")
		return strings.Contains(metrics, fmt.Sprintf("\nkms_agent_reports_total{result=%q} %d\n", result, n))
	})
}

func TestEveryTransitionIsReportedOnceAndNothingElseIs(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	l := newListener(t, nil)
	first, second := s.Value(), s.Value()
	s.put("A", first)
	s.pod = l.with(s.pod, object{"notify": nil})
	a := s.run("run")
	l.expect("at the start", report{Reason: "Synced", Revision: 1})
	s.put("A", second)
	l.expect("after a change", report{Reason: "Synced", Revision: 2, Change: true})
	s.awaitReports(t, "sent", 2)
	s.awaitCount(t, `polls_total{result="unchanged"}`, 2)
	l.expectNoMore("without a change")
	s.expectState(t, "Synced")
	s.Stop()
	l.expect("in an outage", report{Reason: "Unreachable", Revision: 2, Change: true})
	s.awaitCount(t, `polls_total{result="failed"}`, 1)
	a.terminate()
	l.expectNoMore("at the end")
	s.expectNoTrace(a, first, second, "canary-first")
}

// expectState fails unless the agent stands as the reason says, and no other.
func (p pod) expectState(t *testing.T, reason string) {
	t.Helper()
	_, metrics := p.ask(t, "/metrics")
	var states []string
	for line := range strings.Lines(metrics) {
		if strings.HasPrefix(line, "kms_agent_state{") && strings.HasSuffix(line, " 1\n") {
			states = append(states, strings.TrimSpace(line))
		}
	}
	if diff := cmp.Diff([]string{fmt.Sprintf("kms_agent_state{reason=%q} 1", reason)}, states); diff != "" {
		t.Error(diff)
	}
}

func TestEachReasonIsReportedAsItIs(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	l := newListener(t, nil)
	p := l.with(newPod(t, s.URL, "st.good"), object{"notify": nil})
	s.status.Store(http.StatusNotFound)
	a := start(t, command(p, "run"))
	for _, step := range []struct {
		status int64
		want   report
	}{
		{http.StatusNotFound, report{Reason: "NotFound"}},
		{http.StatusForbidden, report{Reason: "Forbidden"}},
		{http.StatusServiceUnavailable, report{Reason: "Unreachable"}},
		{0, report{Reason: "Synced", Revision: 1}},
		{http.StatusUnauthorized, report{Reason: "AuthFailed", Revision: 1}},
	} {
		s.status.Store(step.status)
		l.expect(fmt.Sprint("status ", step.status), step.want)
	}
	p.expectState(t, "AuthFailed")
	a.terminate()
	a.expectCleanLog("canary", "st.good")
}

func TestTheTokenIsReadAnewForEachTry(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	l := newListener(t, nil)
	l.answer = func(w http.ResponseWriter, _ *http.Request) {
		if len(l.tokens) == 1 {
			l.giveToken("canary-second")
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}
	p := l.with(newPod(t, s.URL, "st.good"), object{"notify": nil})
	a := start(t, command(p, "run"))
	l.expect("the first try", report{Reason: "Synced", Revision: 1})
	l.expect("the second try", report{Reason: "Synced", Revision: 1})
	os.Remove(l.tokenFile)
	s.version.Store(2)
	a.says("report failed", "read report.tokenFile")
	l.giveToken("canary-third")
	l.expect("with a third token", report{Reason: "Synced", Revision: 2, Change: true})
	a.terminate()
	for _, want := range []string{"canary-first", "canary-second", "canary-third"} {
		if got := <-l.tokens; got != "Bearer "+want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	a.expectCleanLog("canary")
}

func TestAReportIsTriedAgainOnlyWhereThatMayHelp(t *testing.T) {
	other := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	t.Cleanup(other.Close)
	tests := []struct {
		name   string
		answer http.HandlerFunc // of the first try
		tries  int
		result string
	}{
		{"taken", status(http.StatusNoContent), 1, "sent"},
		{"a token that is not accepted", status(http.StatusUnauthorized), 1, "refused"},
		{"a refusal", status(http.StatusForbidden), 1, "refused"},
		{"a slip", status(http.StatusBadRequest), 1, "refused"},
		{"a redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		}, 1, "refused"},
		{"too many requests", status(http.StatusTooManyRequests), 2, "sent"},
		{"overload", status(http.StatusServiceUnavailable), 2, "sent"},
		{"no answer", hangUp, 2, "sent"},
		{"an answer without an end", func(w http.ResponseWriter, _ *http.Request) {
			for i := 0; i < 1<<10; i++ {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		}, 1, "sent"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			l := newListener(t, nil)
			l.answer = func(w http.ResponseWriter, r *http.Request) {
				if len(l.tokens) == 1 {
					test.answer(w, r)
				}
			}
			p := l.with(newPod(t, s.URL, "st.good"), object{"notify": nil})
			a := start(t, command(p, "run"))
			for n := range test.tries {
				l.expect(fmt.Sprint("try ", n+1), report{Reason: "Synced", Revision: 1})
			}
			p.awaitReports(t, test.result, 1)
			p.awaitCount(t, `polls_total{result="unchanged"}`, 2)
			l.expectNoMore(test.name)
			a.terminate()
			a.expectCleanLog("canary")
		})
	}
}

// The bound of the first pause is a second, and this asks for two.
func TestAListenerThatAsksToWaitIsObeyed(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	times := make(chan time.Time, 8)
	l := newListener(t, nil)
	l.answer = func(w http.ResponseWriter, _ *http.Request) {
		times <- time.Now()
		if len(l.tokens) == 1 {
			w.Header().Set("Retry-After", "2")
			w.WriteHeader(http.StatusTooManyRequests)
		}
	}
	p := l.with(newPod(t, s.URL, "st.good"), object{"notify": nil})
	a := start(t, command(p, "run"))
	asked, back := <-times, <-times
	if waited := back.Sub(asked); waited < 2*time.Second {
		t.Errorf("the second try came after %v, want 2s or more", waited)
	}
	a.terminate()
}

func TestAListenerThatIsAwayHoldsUpNothing(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(l *listener) (change object){
		"away": func(l *listener) object { l.Close(); return nil },
		"another authority": func(l *listener) object {
			authority, _ := newCertificate(l.t)
			return object{"report": object{"url": l.URL, "ca": string(authority), "tokenFile": l.tokenFile, "splay": "0s"}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			l := newListener(t, nil)
			p := l.with(newPod(t, s.URL, "st.good"), object{"notify": nil})
			p = p.with(t, spoil(l))
			a := start(t, command(p, "run"))
			a.says("report failed", "Unreachable")
			s.version.Store(2)
			awaitContent(t, p.dir+"/A", "canary-2")
			p.expectProbes(t, "without a listener", 200, 200, "")
			p.awaitReports(t, "dropped", 1)
			l.expectNoMore(name)
			if n := strings.Count(a.log.String(), "report failed"); n != 1 {
				t.Errorf("%d lines of the log say so, want 1", n)
			}
			a.terminate()
			a.expectCleanLog("canary", l.tokenFile)
		})
	}
}

func TestReportsThatCannotBeSentBecomeOneOfTheNewestState(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	l := newListener(t, nil)
	release := make(chan struct{})
	l.answer = func(http.ResponseWriter, *http.Request) { <-release }
	p := l.with(newPod(t, s.URL, "st.good"), object{"notify": nil})
	a := start(t, command(p, "run"))
	l.expect("the first", report{Reason: "Synced", Revision: 1})
	for version := range 3 {
		s.version.Store(int64(version) + 2)
		awaitContent(t, p.dir+"/A", fmt.Sprint("canary-", version+2))
	}
	p.awaitCount(t, `polls_total{result="unchanged"}`, 1) // and the last of them is noted
	close(release)
	l.expect("the newest", report{Reason: "Synced", Revision: 4, Change: true})
	p.awaitReports(t, "sent", 2)
	a.terminate()
	l.expectNoMore("at the end")
}
