package kubetest_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hanzoai/kms/injector/internal/kubetest"
)

func TestMain(m *testing.M) { kubetest.Main(m) }

func TestTheAPIServerKeepsWhatItIsGiven(t *testing.T) {
	config := kubetest.Start(t)
	c, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "kept-"}}
	if err := c.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(namespace), namespace); err != nil {
		t.Error(err)
	}
}

func TestThereIsOneAPIServer(t *testing.T) {
	if first, second := kubetest.Start(t), kubetest.Start(t); first.Host != second.Host {
		t.Errorf("got %s and %s", first.Host, second.Host)
	}
}
