package certs

import "github.com/prometheus/client_golang/prometheus"

// What is rotated.
const (
	ofAuthority = "authority"
	ofLeaf      = "leaf"
)

type metrics struct {
	expiry    *prometheus.Desc
	rotations *prometheus.CounterVec
	failures  prometheus.Counter
}

// newMetrics starts the counters at zero, so that the first is a rise.
func newMetrics() metrics {
	m := metrics{
		expiry: prometheus.NewDesc("kms_injector_certificate_expiry_seconds",
			"When the certificate that is served ends, in Unix time.", []string{"name"}, nil),
		rotations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "kms_injector_certificate_rotations_total", Help: "Certificates made by this replica, by what they are.",
		}, []string{"kind"}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "kms_injector_certificate_reload_failures_total", Help: "Attempts to read certificates or caBundles that failed.",
		}),
	}
	m.rotations.WithLabelValues(ofAuthority)
	m.rotations.WithLabelValues(ofLeaf)
	return m
}

// Describe is for a registry.
func (k *Keeper) Describe(to chan<- *prometheus.Desc) {
	to <- k.metrics.expiry
	k.metrics.rotations.Describe(to)
	k.metrics.failures.Describe(to)
}

// Collect is for a registry.
func (k *Keeper) Collect(to chan<- prometheus.Metric) {
	for name, s := range k.view.Load().leaves {
		if s.served != nil {
			to <- prometheus.MustNewConstMetric(k.metrics.expiry, prometheus.GaugeValue, float64(s.served.Leaf.NotAfter.Unix()), name)
		}
	}
	k.metrics.rotations.Collect(to)
	k.metrics.failures.Collect(to)
}
