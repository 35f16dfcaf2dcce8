package kmstest_test

import (
	"sync"
	"testing"

	"github.com/hanzoai/kms/sdk"
	"github.com/hanzoai/kms/server/kmstest"
)

func TestFourReplicasStartAtOnceOnAnEmptyDatabase(t *testing.T) {
	p := newProgram(t, kmstest.Postgres)
	var starting sync.WaitGroup
	children, errs := make([]*child, 4), make([]error, 4)
	for n := range children {
		starting.Go(func() { children[n], errs[n] = p.launch() })
	}
	starting.Wait()
	for n, err := range errs {
		if err != nil {
			t.Fatalf("replica %d: %v", n, err)
		}
	}
	// They have the same keys: a token, a value and an audit row of one are
	// good on all others.
	admin, token, project := children[0].setUp(t)
	value := "value"
	scope := sdk.Scope{ProjectID: project, Environment: "dev"}
	if _, err := admin.Create(t.Context(), scope, sdk.SecretInput{Key: "KEY", Value: &value}); err != nil {
		t.Fatal(err)
	}
	for n, c := range children {
		if secret, err := c.client(token).Get(t.Context(), scope, "KEY", sdk.GetOptions{}); err != nil || secret.SecretValue != value {
			t.Errorf("replica %d: %v, %v", n, secret, err)
		}
	}
	p.intact()
}

func TestAReplicaKilledUnderLoadLosesNothing(t *testing.T) {
	p := newProgram(t, kmstest.Postgres)
	one, other := p.start(), p.start()
	admin, token, project := one.setUp(t)
	s := newSiege(t, admin, token, project)
	s.total = 80
	s.fleet.set(one.url, other.url)
	s.run(func() {
		one.kill()
		s.fleet.set(other.url)
	})
	s.verify(other.client(token), other.url)
	p.intact()
}
