package inject_test

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/hanzoai/kms/injector/internal/inject"
)

// A pod of the size that real ones have, with further containers: each has 40
// variables, and each is looked at.
func BenchmarkInject(b *testing.B) {
	for _, containers := range []int{0, 5, 15} {
		b.Run(fmt.Sprintf("%d-more", containers), func(b *testing.B) {
			pod := encode(b, the(map[string]string{"path": "/backend", "format-.env": "dotenv", "readiness": "true"}, func(p *corev1.Pod) { addContainers(p, containers) }))
			b.ReportAllocs()
			b.SetBytes(int64(len(pod)))
			for b.Loop() {
				if _, err := inject.Inject(settings, inject.Request{Pod: pod}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func addContainers(p *corev1.Pod, n int) {
	for i := range n {
		c := corev1.Container{Name: fmt.Sprintf("c%d", i), Image: "registry.example.com/team/app:1.2.3"}
		for j := range 40 {
			c.Env = append(c.Env, corev1.EnvVar{Name: fmt.Sprintf("VARIABLE_%d", j), Value: fmt.Sprintf("value number %d", j)})
		}
		p.Spec.Containers = append(p.Spec.Containers, c)
	}
}
