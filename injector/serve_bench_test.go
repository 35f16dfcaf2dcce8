package main_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A pod's creation as whoever creates it sees it, with the write to etcd: the
// difference between a pod that asks and one that does not is what injection
// costs. At 100 a second the pods come whether or not earlier ones are done.
func BenchmarkCreationOfAPod(b *testing.B) {
	c := newCluster(b)
	c.register(b, c.start(b).Webhooks)
	must(b, c.Create(b.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: "web-kms-auth"},
		StringData: map[string]string{"clientId": "x", "clientSecret": "x"}}))
	for _, kind := range []struct{ name, inject string }{{"plain", "false"}, {"injected", "true"}} {
		create := func() time.Duration {
			pod := c.pod(map[string]string{"inject": kind.inject})
			start := time.Now()
			err := c.Create(b.Context(), pod)
			took := time.Since(start)
			if err != nil || isInjected(pod) != (kind.inject == "true") {
				b.Error(err)
			}
			return took
		}
		b.Run(kind.name+"/one-by-one", func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				took = append(took, create())
			}
			report(b, took)
		})
		b.Run(kind.name+"/100-a-second", func(b *testing.B) {
			took := make([]time.Duration, b.N)
			var running sync.WaitGroup
			next := time.NewTicker(10 * time.Millisecond)
			defer next.Stop()
			for i := range b.N {
				<-next.C
				running.Go(func() { took[i] = create() })
			}
			running.Wait()
			report(b, took)
		})
	}
}

func report(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}
