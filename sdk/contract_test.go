package sdk_test

import (
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/sdk"
	"github.com/hanzoai/kms/server/kmstest"
)

func ExampleClient_ListSecrets() {
	client := sdk.NewClient(sdk.Config{
		SiteURL:      "https://kms.hanzo.ai",
		ClientID:     os.Getenv("KMS_CLIENT_ID"),
		ClientSecret: os.Getenv("KMS_CLIENT_SECRET"),
	})
	secrets, err := client.ListSecrets(sdk.ListSecretsOptions{
		ProjectSlug: "hanzo-iam",
		Environment: "prod",
		SecretPath:  "/",
	})
	if err != nil {
		log.Fatalf("failed to fetch secrets from KMS: %v", err)
	}
	for _, s := range secrets {
		os.Setenv(s.SecretKey, s.SecretValue)
	}
}

func TestTheStandardsProgramRunsAsItIsWritten(t *testing.T) {
	server := newTarget(t, kmstest.SQLite)
	client := server.client()
	for _, key := range []string{"DB_URL", "API_KEY"} {
		mustCreate(t, client, server.scope(), key, "value of "+key)
	}
	source, err := os.ReadFile("testdata/standard/main.go")
	if err != nil {
		t.Fatal(err)
	}
	// The one substitution: the project and environment of this test's server.
	program := strings.NewReplacer(`"hanzo-iam"`, fmt.Sprintf("%q", server.ProjectSlug), `"prod"`, `"dev"`,
		`"https://kms.hanzo.ai"`, fmt.Sprintf("%q", server.URL)).Replace(string(source))
	dir, err := os.MkdirTemp("testdata", "run-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "run", "./"+filepath.ToSlash(dir))
	cmd.Env = append(os.Environ(), "KMS_CLIENT_ID="+server.ClientID, "KMS_CLIENT_SECRET="+server.ClientSecret)
	got, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, got)
	}
	if diff := cmp.Diff("value of API_KEY\nvalue of DB_URL\n", string(got)); diff != "" {
		t.Error(diff)
	}
}

func TestSecretsAreCreatedReadChangedAndDeleted(t *testing.T) {
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		t.Parallel()
		server := newTarget(t, engine)
		client, scope := server.client(), server.scope()
		mustCreate(t, client, scope, "B", "b")
		mustCreate(t, client, scope, "A", "a \"q\" $x\nü")

		if _, err := client.Update(t.Context(), scope, sdk.SecretInput{Key: "B", Value: new("")}); err != nil {
			t.Fatal(err)
		}
		secrets, err := client.ListSecrets(sdk.ListSecretsOptions{ProjectSlug: server.ProjectSlug, Environment: "dev"})
		if err != nil {
			t.Fatal(err)
		}
		type row struct {
			Key, Value string
			Version    int64
		}
		var got []row
		for _, s := range secrets {
			got = append(got, row{s.SecretKey, s.SecretValue, s.Version})
		}
		if diff := cmp.Diff([]row{{"A", "a \"q\" $x\nü", 1}, {"B", "", 2}}, got); diff != "" {
			t.Error(diff)
		}
		first, err := client.Get(t.Context(), scope, "B", sdk.GetOptions{Version: 1})
		if err != nil || first.SecretValue != "b" {
			t.Errorf("Get of version 1 = %q, %v, want b", first.SecretValue, err)
		}
		if _, err := client.Delete(t.Context(), scope, "B"); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Get(t.Context(), scope, "B", sdk.GetOptions{}); !errors.Is(err, api.ErrNotFound) {
			t.Errorf("Get of a deleted secret: %v, want %v", err, api.ErrNotFound)
		}
	})
}

func TestErrorsKeepTheirKindAcrossTheWire(t *testing.T) {
	server := newTarget(t, kmstest.SQLite)
	client, scope := server.client(), server.scope()
	mustCreate(t, client, scope, "A", "a")
	stranger := sdk.NewClient(sdk.Config{SiteURL: server.URL, ClientID: server.ClientID, ClientSecret: "st.wrong"})
	tests := []struct {
		name string
		call func() error
		want error
	}{
		{"a key that is taken", func() error {
			_, err := client.Create(t.Context(), scope, sdk.SecretInput{Key: "A", Value: new("v")})
			return err
		}, api.ErrExists},
		{"an unknown secret", func() error {
			_, err := client.Get(t.Context(), scope, "NONE", sdk.GetOptions{})
			return err
		}, api.ErrNotFound},
		{"an unknown project", func() error {
			_, err := client.ListSecrets(sdk.ListSecretsOptions{ProjectSlug: "none", Environment: "dev"})
			return err
		}, api.ErrNotFound},
		{"a wrong client secret", func() error { return stranger.Login(t.Context()) }, api.ErrUnauthenticated},
		{"a key that is none", func() error {
			_, err := client.Delete(t.Context(), scope, "../x")
			return err
		}, api.ErrInvalid},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := test.call()
			if !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

func TestAListAnswersNotModifiedUntilSomethingChanges(t *testing.T) {
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		t.Parallel()
		server := newTarget(t, engine)
		client := server.client()
		mustCreate(t, client, server.scope(), "A", "a")
		options := sdk.ListSecretsOptions{ProjectSlug: server.ProjectSlug, Environment: "dev"}
		first, err := client.List(t.Context(), options)
		if err != nil || first.ETag == "" {
			t.Fatalf("List = ETag %q, %v", first.ETag, err)
		}
		options.IfNoneMatch = first.ETag
		again, err := client.List(t.Context(), options)
		if err != nil || !again.NotModified || again.ETag != first.ETag {
			t.Errorf("second List = %+v, %v, want not modified", again, err)
		}
		if secrets, err := client.ListSecrets(options); err != nil || len(secrets) != 1 {
			t.Errorf("ListSecrets with an ETag = %v, %v, want the secret", secrets, err)
		}
		mustCreate(t, client, server.scope(), "B", "b")
		changed, err := client.List(t.Context(), options)
		if err != nil || changed.NotModified || len(changed.Secrets) != 2 {
			t.Errorf("List after a change = %+v, %v, want two secrets", changed, err)
		}
	})
}

func TestACompactListHasTheSameValues(t *testing.T) {
	t.Parallel()
	server := newTarget(t, kmstest.SQLite)
	client := server.client()
	mustCreate(t, client, server.scope(), "A", "a\n\"\u00fc\\")
	mustCreate(t, client, server.scope(), "B", "${A} twice")
	options := sdk.ListSecretsOptions{ProjectSlug: server.ProjectSlug, Environment: "dev"}
	full, err := client.List(t.Context(), options)
	options.Compact = true
	compact, err2 := client.List(t.Context(), options)
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	var want []sdk.Secret
	for _, s := range full.Secrets {
		want = append(want, sdk.Secret{SecretPath: s.SecretPath, SecretKey: s.SecretKey, SecretValue: s.SecretValue, Version: s.Version})
	}
	if diff := cmp.Diff(want, compact.Secrets); diff != "" || len(want) != 2 {
		t.Error(diff)
	}
}

func TestOneSecretAnswersNotModifiedUntilItChanges(t *testing.T) {
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		t.Parallel()
		server := newTarget(t, engine)
		client, scope := server.client(), server.scope()
		mustCreate(t, client, scope, "A", "${B} and more")
		mustCreate(t, client, scope, "B", "b")
		var options sdk.GetOptions
		read := func() sdk.Result {
			t.Helper()
			result, err := client.GetIfChanged(t.Context(), scope, "A", options)
			if err != nil {
				t.Fatal(err)
			}
			return result
		}
		first := read()
		if keys(first.Secrets) != "A=b and more" || first.ETag == "" || first.NotModified {
			t.Fatalf("first read = %s, ETag %q", keys(first.Secrets), first.ETag)
		}
		options.IfNoneMatch = first.ETag
		if diff := cmp.Diff(sdk.Result{ETag: first.ETag, NotModified: true}, read()); diff != "" {
			t.Error(diff)
		}
		mustCreate(t, client, scope, "C", "somebody else's")
		if again := read(); !again.NotModified {
			t.Error("a change of another secret counted")
		}
		if secret, err := client.Get(t.Context(), scope, "A", options); err != nil || secret.SecretValue != "b and more" {
			t.Errorf("Get with an ETag = %q, %v, want the value", secret.SecretValue, err)
		}
		if _, err := client.Update(t.Context(), scope, sdk.SecretInput{Key: "B", Value: new("B")}); err != nil {
			t.Fatal(err)
		}
		if changed := read(); keys(changed.Secrets) != "A=B and more" || changed.ETag == first.ETag {
			t.Errorf("read after a change of what it refers to = %s, ETag %q", keys(changed.Secrets), changed.ETag)
		}
	})
}

func TestARevokedTokenIsReplacedByTheNextCall(t *testing.T) {
	server := newTarget(t, kmstest.SQLite)
	client := server.client()
	if err := client.Revoke(t.Context()); !errors.Is(err, api.ErrUnauthenticated) {
		t.Errorf("Revoke before any login: %v, want %v", err, api.ErrUnauthenticated)
	}
	mustCreate(t, client, server.scope(), "A", "a")
	if err := client.Renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := client.Revoke(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustCreate(t, client, server.scope(), "B", "b")
}

func mustCreate(t *testing.T, client *sdk.Client, scope sdk.Scope, key, value string) {
	t.Helper()
	if _, err := client.Create(t.Context(), scope, sdk.SecretInput{Key: key, Value: &value}); err != nil {
		t.Fatalf("create %s: %v", key, err)
	}
}
