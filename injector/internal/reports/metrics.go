package reports

import "github.com/prometheus/client_golang/prometheus"

// result is what became of one report.
type result string

const (
	accepted  result = "accepted"
	malformed result = "malformed"
	stranger  result = "unauthenticated"
	vanished  result = "gone"
	throttled result = "throttled"
	failed    result = "failed"
)

// Metrics counts reports, and is a collector of Prometheus. Pods and namespaces
// are no labels: they would grow without bound, and tell who has secrets.
type Metrics struct {
	results, reasons *prometheus.CounterVec
	rollouts         prometheus.Counter
}

// NewMetrics starts all counters at zero, so that the first failure is a rise.
func NewMetrics() *Metrics {
	m := &Metrics{
		prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kms_injector_reports_total", Help: "Reports of agents, by what became of them.",
		}, []string{"result"}),
		prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kms_injector_reported_reasons_total", Help: "Reports that were accepted, by the reason that they give.",
		}, []string{"reason"}),
		prometheus.NewCounter(prometheus.CounterOpts{
			Name: "kms_injector_rollouts_total", Help: "Rollouts that began because secrets had changed.",
		}),
	}
	for _, r := range []result{accepted, malformed, stranger, vanished, throttled, failed} {
		m.results.WithLabelValues(string(r))
	}
	for r := range sentences {
		m.reasons.WithLabelValues(string(r))
	}
	return m
}

// Describe is for a registry.
func (m *Metrics) Describe(to chan<- *prometheus.Desc) {
	for _, c := range []prometheus.Collector{m.results, m.reasons, m.rollouts} {
		c.Describe(to)
	}
}

// Collect is for a registry.
func (m *Metrics) Collect(to chan<- prometheus.Metric) {
	for _, c := range []prometheus.Collector{m.results, m.reasons, m.rollouts} {
		c.Collect(to)
	}
}

func (m *Metrics) count(r result)       { m.results.WithLabelValues(string(r)).Inc() }
func (m *Metrics) countReason(r reason) { m.reasons.WithLabelValues(string(r)).Inc() }
