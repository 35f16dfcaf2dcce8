package webhook_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hanzoai/kms/injector/internal/webhook"
)

// A review about a pod of 12 KB, as large as those of real applications.
func BenchmarkHandler(b *testing.B) {
	var variables strings.Builder
	for i := 0; variables.Len() < 12<<10; i++ {
		fmt.Fprintf(&variables, `{"name":"VARIABLE_%d","value":"the value of number %d"},`, i, i)
	}
	body := about(strings.Replace(pod, `"env":[`, `"env":[`+variables.String(), 1))
	lookup := cluster{secrets: map[string][]string{"web-kms-auth": nil}}.lookup()
	h := webhook.NewHandler(always(settings), lookup, slog.New(slog.NewJSONHandler(io.Discard, nil)), webhook.NewMetrics())
	var took []time.Duration
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		start := time.Now()
		h.ServeHTTP(w, r)
		took = append(took, time.Since(start))
		if !strings.Contains(w.Body.String(), `"patchType":"JSONPatch"`) {
			b.Fatal(w.Body)
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}
