package app

import (
	"net/http"
	"net/http/pprof"
	"strconv"
	"time"

	"github.com/hanzoai/kms/server/internal/secrets"
	"github.com/hanzoai/kms/server/internal/store"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// adminHandler serves what operators look at: never a secret, and never on the
// API's address.
func (a *App) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(a.metrics.registry, promhttp.HandlerOpts{}))
	// The process lives; a database that is away is no reason to restart it.
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) { w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := a.service.Ready(r.Context()); err != nil {
			http.Error(w, "the database does not answer", http.StatusServiceUnavailable)
			return
		}
		w.Write([]byte("ok\n"))
	})
	if a.cfg.PProf {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	}
	return mux
}

// metrics holds what the server counts. Labels are routes, methods and codes:
// names of projects or secrets would disclose, and grow without bound.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

func newMetrics(service *secrets.Service, db *store.Store) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "kms_http_requests_total", Help: "Requests answered."}, []string{"route", "method", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "kms_http_request_duration_seconds", Help: "Time to answer a request.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}}, []string{"route", "method"}),
	}
	m.registry.MustRegister(m.requests, m.duration, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	stats := &service.Audit().Stats
	for _, c := range []struct {
		name, help string
		value      func() float64
	}{
		{"kms_audit_batches_total", "Commits of audit rows.", func() float64 { return float64(stats.Batches.Load()) }},
		{"kms_audit_rows_total", "Audit rows written by reads.", func() float64 { return float64(stats.Rows.Load()) }},
		{"kms_audit_failures_total", "Commits of audit rows that failed; nothing was served.", func() float64 { return float64(stats.Failures.Load()) }},
		{"kms_audit_shed_total", "Requests without an identity that were turned away.", func() float64 { return float64(stats.Shed.Load()) }},
		{"kms_stale_reads_total", "Reads that a change sent back to be resolved anew.", func() float64 { return float64(stats.Stale.Load()) }},
		{"kms_unchanged_reads_total", "Conditional reads answered 304; they write no audit row.", func() float64 { return float64(service.Unchanged.Load()) }},
	} {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: c.name, Help: c.help}, c.value))
	}
	m.registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "kms_audit_unsealed_age_seconds", Help: "Age of the oldest audit batch that is not in the chain."}, func() float64 {
			if since := stats.UnsealedSince.Load(); since != 0 {
				return time.Since(time.UnixMicro(since)).Seconds()
			}
			return 0
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "kms_cache_bytes", Help: "Sealed bytes in the cache, estimated."}, func() float64 {
			_, bytes := service.CacheSize()
			return float64(bytes)
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "kms_info", Help: "Always 1; the label tells the database engine.", ConstLabels: prometheus.Labels{"engine": db.Engine()}}, func() float64 { return 1 }),
	)
	return m
}

func (m *metrics) observe(route, method string, status int, took time.Duration) {
	if route == "" {
		route, method = "none", "any" // what clients make up must not make series
	}
	m.requests.WithLabelValues(route, method, strconv.Itoa(status)).Inc()
	m.duration.WithLabelValues(route, method).Observe(took.Seconds())
}
