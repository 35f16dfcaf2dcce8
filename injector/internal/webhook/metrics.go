package webhook

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// decision is what became of one request.
type decision string

const (
	injected decision = "injected"
	skipped  decision = "skipped"
	denied   decision = "denied"
	failed   decision = "failed"

	warned decision = "warned"
	passed decision = "passed"
)

// Metrics are those of all webhooks, and a collector of Prometheus. Namespaces
// are no label: they would grow without bound, and tell who has secrets.
type Metrics struct {
	decisions *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
}

// NewMetrics starts all counters at zero, so that the first failure is a rise.
func NewMetrics() *Metrics {
	m := &Metrics{
		prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kms_injector_decisions_total", Help: "Requests of API servers, by what became of them.",
		}, []string{"webhook", "decision"}),
		prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "kms_injector_review_seconds", Help: "Time from a review to its answer, with what the cluster was asked for it.",
			Buckets: []float64{.0005, .001, .002, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
		}, []string{"webhook"}),
	}
	for webhook, decisions := range map[string][]decision{
		pods{}.name():      {injected, skipped, denied, failed},
		workloads{}.name(): {warned, passed, failed},
	} {
		m.seconds.WithLabelValues(webhook)
		for _, d := range decisions {
			m.decisions.WithLabelValues(webhook, string(d))
		}
	}
	return m
}

// Describe is for a registry.
func (m *Metrics) Describe(to chan<- *prometheus.Desc) {
	m.decisions.Describe(to)
	m.seconds.Describe(to)
}

// Collect is for a registry.
func (m *Metrics) Collect(to chan<- prometheus.Metric) {
	m.decisions.Collect(to)
	m.seconds.Collect(to)
}

func (m *Metrics) count(webhook string, d decision) {
	m.decisions.WithLabelValues(webhook, string(d)).Inc()
}

func (m *Metrics) time(webhook string, took time.Duration) {
	m.seconds.WithLabelValues(webhook).Observe(took.Seconds())
}
