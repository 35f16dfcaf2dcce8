package kmstest_test

import (
	"context"
	"errors"
	"testing"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/sdk"
	"github.com/hanzoai/kms/server/kmstest"
)

func TestAViewerReadsWhatAnAdminWrote(t *testing.T) {
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		kms := kmstest.New(t, kmstest.Options{Engine: engine})
		project := kms.Project("shop")
		value := kms.Value()
		kms.Put(project, "prod", "/", "DB_URL", value)
		client := kms.Client(kms.Identity(project, "viewer"))
		options := sdk.ListSecretsOptions{ProjectSlug: "shop", Environment: "production"}
		secrets, err := client.ListSecrets(options)
		if err != nil || len(secrets) != 1 || secrets[0].SecretValue != value {
			t.Fatalf("list: %v, %v", secrets, err)
		}
		first, err := client.List(context.Background(), options)
		if err != nil {
			t.Fatal(err)
		}
		options.IfNoneMatch = first.ETag
		if again, err := client.List(context.Background(), options); err != nil || !again.NotModified {
			t.Errorf("conditional list: %+v, %v", again, err)
		}
		scope := sdk.Scope{ProjectSlug: "shop", Environment: "prod"}
		if _, err := client.Create(context.Background(), scope, sdk.SecretInput{Key: "X", Value: &value}); !errors.Is(err, api.ErrDenied) {
			t.Errorf("a viewer creates: %v", err)
		}
		kms.Put(project, "prod", "/", "DB_URL", "new")
		if again, err := client.List(context.Background(), options); err != nil || again.NotModified || again.Secrets[0].SecretValue != "new" || again.Secrets[0].Version != 2 {
			t.Errorf("after a change: %+v, %v", again, err)
		}
		logs, err := kms.Admin().AuditLogs(context.Background(), sdk.AuditQuery{Project: project.ID})
		if err != nil || len(logs.Logs) < 5 {
			t.Errorf("audit: %d rows, %v", len(logs.Logs), err)
		}
		report, err := kms.App().Service().Audit().Verify(context.Background(), nil)
		if err != nil || len(report.Problems) > 0 || report.Rows == 0 {
			t.Errorf("verify: %+v, %v", report, err)
		}
		kms.Stop()
		kms.Start()
		if secrets, err := kms.Client(kms.Identity(project, "viewer")).ListSecrets(options); err != nil || len(secrets) != 1 {
			t.Errorf("after a restart: %v, %v", secrets, err)
		}
	})
}

func TestAValueInTheLogIsFoundInAnyForm(t *testing.T) {
	const value = "p@ss word/+"
	for _, text := range []string{"x p@ss word/+", "cEBzcyB3b3JkLys=", "7040737320776f72642f2b", "p%40ss+word%2F%2B", "p@ss%20word%2F+"} {
		if _, found := kmstest.Leak(text, value); !found {
			t.Errorf("not found in %q", text)
		}
	}
	if form, found := kmstest.Leak("nothing here", value); found {
		t.Errorf("found %s", form)
	}
}
