package reports_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	authenticationv1 "k8s.io/api/authentication/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

func TestWhatIsNoReportIsRefused(t *testing.T) {
	asked := 0
	s := newServer(t, vouching(&asked, vouched, nil))
	for name, test := range map[string]struct {
		body string
		want int
	}{
		"nothing":             {"", http.StatusBadRequest},
		"no object":           {"null", http.StatusBadRequest},
		"half an object":      {`{"reason":"Synced"`, http.StatusBadRequest},
		"two objects":         {inPlace + inPlace, http.StatusBadRequest},
		"more than an object": {inPlace + "]", http.StatusBadRequest},
		"no reason":           {`{"revision":1}`, http.StatusBadRequest},
		"an unknown reason":   {`{"reason":"<script>","revision":1}`, http.StatusBadRequest},
		"an unknown field":    {`{"reason":"Synced","pod":"other"}`, http.StatusBadRequest},
		"a negative revision": {`{"reason":"Synced","revision":-1}`, http.StatusBadRequest},
		"half a revision":     {`{"reason":"Synced","revision":1.5}`, http.StatusBadRequest},
		"a huge revision":     {`{"reason":"Synced","revision":9007199254740993}`, http.StatusBadRequest},
		"a text for a number": {`{"reason":"Synced","revision":"1"}`, http.StatusBadRequest},
		"a negative age":      {`{"reason":"Synced","age":-1}`, http.StatusBadRequest},
		"a huge body":         {`{"reason":"Synced"` + strings.Repeat(" ", 1<<20) + "}", http.StatusRequestEntityTooLarge},
	} {
		if w := s.send(forged("1"), test.body); w.Code != test.want || strings.Contains(w.Body.String(), "script") {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	for target, want := range map[string]int{"GET /report": http.StatusMethodNotAllowed, "POST /": http.StatusNotFound, "POST /report/x": http.StatusNotFound} {
		method, path, _ := strings.Cut(target, " ")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(inPlace)))
		if w.Code != want {
			t.Errorf("%s: %d", target, w.Code)
		}
	}
	if asked > 0 {
		t.Error("the API server was asked for nothing")
	}
}

func TestAPodThatFloodsIsHeldBackAndNoOther(t *testing.T) {
	c := newCluster(t)
	s := newServer(t, c.injector)
	loud, quiet := c.token(c.pod(), audience), c.token(c.pod(), audience)
	taken := 0
	for i := range 50 {
		w := s.send(loud, fmt.Sprintf(`{"reason":"Synced","revision":%d}`, i))
		if w.Code == http.StatusNoContent {
			taken++
		} else if wait, err := strconv.Atoi(w.Header().Get("Retry-After")); w.Code != http.StatusTooManyRequests || err != nil || wait < 1 || wait > 60 {
			t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
		}
	}
	if taken == 0 || taken > 7 {
		t.Errorf("%d of 50 were taken", taken)
	}
	s.must(quiet, inPlace)
	want := map[string]float64{"accepted": float64(taken + 1), "failed": 0, "gone": 0, "malformed": 0, "throttled": float64(50 - taken), "unauthenticated": 0}
	if diff := cmp.Diff(want, s.results()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// results are the counters of reports.
func (s *server) results() map[string]float64 {
	s.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(s.metrics)
	families, err := registry.Gather()
	if err != nil {
		s.Fatal(err)
	}
	counted := map[string]float64{}
	for _, family := range families {
		for _, m := range family.Metric {
			if family.GetName() == "kms_injector_reports_total" {
				counted[m.Label[0].GetValue()] = m.Counter.GetValue()
			}
		}
	}
	return counted
}

func TestAFloodOfTokensDoesNotReachTheAPIServer(t *testing.T) {
	asked := 0
	s := newServer(t, vouching(&asked, authenticationv1.TokenReviewStatus{}, nil))
	for i := range 2000 {
		s.sendFrom("10.0.0.66:"+strconv.Itoa(i), forged(strconv.Itoa(i)), inPlace)
	}
	if asked == 0 || asked > 200 {
		t.Errorf("the API server was asked %d times", asked)
	}
	if w := s.sendFrom("10.0.0.7:1", forged("another"), inPlace); w.Code != http.StatusUnauthorized {
		t.Errorf("another address is held back: %d %s", w.Code, w.Body)
	}
	for range 100 {
		s.sendFrom("10.0.0.8:1", forged("the same"), inPlace)
	}
	if asked > 202 {
		t.Errorf("the API server was asked %d times, also about what it had answered", asked)
	}
}

func TestMoreReportsAtOnceThanCanBeWorkedOnAreSentBack(t *testing.T) {
	const most = 16
	busy, done := make(chan struct{}, most), make(chan struct{})
	slow := interceptor.NewClient(nil, interceptor.Funcs{
		Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error {
			busy <- struct{}{}
			<-done
			return context.DeadlineExceeded
		}})
	s := newServer(t, slow)
	var all sync.WaitGroup
	for i := range most {
		all.Go(func() { s.send(forged(strconv.Itoa(i)), inPlace) })
	}
	for range most {
		<-busy
	}
	if w := s.send(forged("one more"), inPlace); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	close(done)
	all.Wait()
	if w := s.send(forged("later"), inPlace); w.Code != http.StatusServiceUnavailable {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// Whatever comes by HTTP: an answer that says whose fault it is.
func FuzzReports(f *testing.F) {
	f.Add(forged("1"), inPlace)
	f.Add("a..c", `{"reason":"Synced"}`)
	f.Add("", `{"reason":1e999}`)
	f.Add("a.eyJhdWQiOiJ4In0.c", `[{"reason":"Synced"}]`)
	f.Fuzz(func(t *testing.T, token, body string) {
		asked := 0
		s := newServer(t, vouching(&asked, vouched, nil))
		if w := s.send(token, body); w.Code < 400 || w.Code >= 500 || asked > 1 {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}
