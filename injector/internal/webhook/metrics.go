package webhook

import "github.com/prometheus/client_golang/prometheus"

// decision is what became of one request.
type decision string

const (
	injected decision = "injected"
	skipped  decision = "skipped"
	denied   decision = "denied"
	failed   decision = "failed"
)

// Metrics counts decisions, and is a collector of Prometheus. Namespaces are no
// label: they would grow without bound, and tell who has secrets.
type Metrics struct{ decisions *prometheus.CounterVec }

// NewMetrics starts all counters at zero, so that the first failure is a rise.
func NewMetrics() *Metrics {
	m := &Metrics{prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "kms_injector_decisions_total", Help: "Requests of API servers, by what became of them.",
	}, []string{"decision"})}
	for _, d := range []decision{injected, skipped, denied, failed} {
		m.decisions.WithLabelValues(string(d))
	}
	return m
}

// Describe is for a registry.
func (m *Metrics) Describe(to chan<- *prometheus.Desc) { m.decisions.Describe(to) }

// Collect is for a registry.
func (m *Metrics) Collect(to chan<- prometheus.Metric) { m.decisions.Collect(to) }

func (m *Metrics) count(d decision) { m.decisions.WithLabelValues(string(d)).Inc() }
