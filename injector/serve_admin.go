package main

import (
	"errors"
	"net/http"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
)

// health is whether pods may be sent to this replica.
type health struct {
	started, ending atomic.Bool // whether the webhooks serve, and whether they are about to end
	certificates    func() error
}

// ready says why it is not.
func (h *health) ready() error {
	switch {
	case h.ending.Load():
		return errors.New("this replica is about to end")
	case !h.started.Load():
		return errors.New("the namespaces of the cluster are not read yet")
	}
	return h.certificates()
}

// sendAway makes API servers that keep a connection leave it for another
// replica while this one ends: by a header in HTTP/1, and in HTTP/2 by GOAWAY,
// which net/http makes of that header.
func (h *health) sendAway(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h.ending.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// newAdmin has what operators and probes ask. The metrics are
//
//	kms_injector_decisions_total{webhook,decision}  reviews, by what became of them: pods are injected, skipped,
//	                                                denied or failed, workloads passed, warned or failed
//	kms_injector_review_seconds{webhook}            histogram of the time that they took
//	kms_injector_naked_pods{namespace}              pods that run without their secrets, as the leader sees them
//	kms_injector_certificate_*                      until when they last, and what became of them
//	controller_runtime_reconcile_*, workqueue_*     how the leader looks at pods
//	rest_client_requests_total{code,method,host}    requests to the API server
//	go_*, process_*                                 of the process
func newAdmin(h *health, own ...prometheus.Collector) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(own...)
	routes := http.NewServeMux()
	routes.Handle("GET /metrics", promhttp.HandlerFor(prometheus.Gatherers{registry, ctrlmetrics.Registry}, promhttp.HandlerOpts{}))
	routes.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, nil) })
	routes.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { answer(w, h.ready()) })
	return routes
}

func answer(w http.ResponseWriter, problem error) {
	if problem != nil {
		http.Error(w, problem.Error(), http.StatusServiceUnavailable)
		return
	}
	_, _ = w.Write([]byte("ok\n"))
}
