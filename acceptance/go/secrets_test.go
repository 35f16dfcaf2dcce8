package acceptance_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	infisical "github.com/infisical/go-sdk"
)

// pairs is what an application sees of secrets: keys and values, in order.
func pairs(secrets []infisical.Secret) []string {
	var all []string
	for _, s := range secrets {
		all = append(all, s.SecretKey+"="+s.SecretValue)
	}
	return all
}

func expectPairs(t *testing.T, secrets []infisical.Secret, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, pairs(secrets)); diff != "" {
		t.Errorf("secrets (-want +got):\n%s", diff)
	}
}

// The SDK sends both parameters of a project always, one of them empty. List is
// deprecated, and what operators and most programs call.
func TestGoSDKListsByIDAndBySlug(t *testing.T) {
	p := newProject(t)
	put(t, p, "DATABASE_URL", "postgres://shop")
	put(t, p, "API_KEY", " a \"b\" $c\n\\d ü 🔑 ")
	client := loggedIn(t, p, "viewer")
	for name, options := range map[string]infisical.ListSecretsOptions{
		"by id":              {ProjectID: p.id, Environment: "dev"},
		"by slug":            {ProjectSlug: p.slug, Environment: "dev"},
		"by both":            {ProjectID: p.id, ProjectSlug: p.slug, Environment: "dev"},
		"by slug, as its id": {ProjectID: p.slug, Environment: "dev"},
		"with all flags":     {ProjectSlug: p.slug, Environment: "dev", SecretPath: "/", ExpandSecretReferences: true, IncludeImports: true, Recursive: true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := client.Secrets().List(options)
			if err != nil {
				t.Fatal(err)
			}
			expectPairs(t, got, "API_KEY= a \"b\" $c\n\\d ü 🔑 ", "DATABASE_URL=postgres://shop")
			for _, s := range got {
				if s.ID == "" || s.Workspace != p.id || s.Environment != "dev" || s.Type != "shared" || s.Version != 1 || s.SecretPath != "/" {
					t.Errorf("%s has the fields %q, %q, %q, %q, %d, %q", s.SecretKey, s.ID, s.Workspace, s.Environment, s.Type, s.Version, s.SecretPath)
				}
			}
		})
	}
}

func TestGoSDKCreatesUpdatesAndDeletes(t *testing.T) {
	p := newProject(t)
	secrets := loggedIn(t, p, "member").Secrets()

	created, err := secrets.Create(infisical.CreateSecretOptions{SecretKey: "TOKEN", ProjectID: p.id, Environment: "dev", SecretValue: "one", SecretComment: "from the vendor"})
	if err != nil || created.Version != 1 || created.SecretComment != "from the vendor" {
		t.Fatalf("create: version %d, comment %q, %v", created.Version, created.SecretComment, err)
	}
	updated, err := secrets.Update(infisical.UpdateSecretOptions{SecretKey: "TOKEN", ProjectID: p.id, Environment: "dev", NewSecretValue: "two", NewSkipMultilineEncoding: true})
	if err != nil || updated.Version != 2 || updated.ID != created.ID {
		t.Fatalf("update: version %d of %q, %v; want version 2 of %q", updated.Version, updated.ID, err, created.ID)
	}
	for version, want := range map[int]string{0: "two", 1: "one", 2: "two"} {
		got, err := secrets.Retrieve(infisical.RetrieveSecretOptions{SecretKey: "TOKEN", ProjectSlug: p.slug, Environment: "dev", Version: version})
		if err != nil || got.SecretValue != want || got.SecretKey != "TOKEN" {
			t.Errorf("version %d: %q of %q, %v; want %q", version, got.SecretValue, got.SecretKey, err, want)
		}
	}
	if _, err := secrets.Delete(infisical.DeleteSecretOptions{SecretKey: "TOKEN", ProjectID: p.id, Environment: "dev"}); err != nil {
		t.Fatalf("delete: %v", err)
	}
	_, err = secrets.Retrieve(infisical.RetrieveSecretOptions{SecretKey: "TOKEN", ProjectID: p.id, Environment: "dev"})
	expectAPIError(t, err, 404)
}

func TestGoSDKCreatesBatches(t *testing.T) {
	p := newProject(t)
	secrets := loggedIn(t, p, "member").Secrets()
	made, err := secrets.Batch().Create(infisical.BatchCreateSecretsOptions{ProjectID: p.id, Environment: "staging", SecretPath: "/", Secrets: []infisical.BatchCreateSecret{
		{SecretKey: "A", SecretValue: "1", SecretMetadata: []infisical.SecretMetadata{{Key: "owner", Value: "billing"}}},
		{SecretKey: "B", SecretValue: "2", SecretComment: "second", SkipMultiLineEncoding: true},
		{SecretKey: "EMPTY", SecretValue: ""},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if len(made) != 3 {
		t.Errorf("the batch answered %d secrets, want 3", len(made))
	}
	listed, err := secrets.List(infisical.ListSecretsOptions{ProjectID: p.id, Environment: "staging"})
	if err != nil {
		t.Fatal(err)
	}
	expectPairs(t, listed, "A=1", "B=2", "EMPTY=")
	if diff := cmp.Diff([]infisical.SecretMetadata{{Key: "owner", Value: "billing"}}, listed[0].SecretMetadata); diff != "" {
		t.Errorf("metadata of A (-want +got):\n%s", diff)
	}
}

// With recursive the SDK keeps the last secret of each key that it receives,
// which is that of the folder sorted last, unless it is told to keep all. Those
// of one key it puts in no order.
func TestGoSDKListsRecursively(t *testing.T) {
	p := newProject(t)
	client := loggedIn(t, p, "member")
	if _, err := client.Folders().Create(infisical.CreateFolderOptions{ProjectID: p.id, Environment: "dev", Name: "deploy", Path: "/"}); err != nil {
		t.Fatal(err)
	}
	for path, value := range map[string]string{"/": "outer", "/deploy": "inner"} {
		if _, err := client.Secrets().Create(infisical.CreateSecretOptions{SecretKey: "KEY", ProjectID: p.id, Environment: "dev", SecretPath: path, SecretValue: value}); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name    string
		options infisical.ListSecretsOptions
		want    []string
	}{
		{"this folder only", infisical.ListSecretsOptions{SecretPath: "/"}, []string{"KEY=outer"}},
		{"the folder below", infisical.ListSecretsOptions{SecretPath: "/deploy"}, []string{"KEY=inner"}},
		{"a slash at its end", infisical.ListSecretsOptions{SecretPath: "/deploy/"}, []string{"KEY=inner"}},
		{"all folders, unique keys", infisical.ListSecretsOptions{Recursive: true}, []string{"KEY=inner"}},
		{"all folders", infisical.ListSecretsOptions{Recursive: true, SkipUniqueValidation: true}, []string{"KEY=inner", "KEY=outer"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.options.ProjectID, test.options.Environment = p.id, "dev"
			got, err := client.Secrets().List(test.options)
			if err != nil {
				t.Fatal(err)
			}
			slices.SortFunc(got, func(a, b infisical.Secret) int { return strings.Compare(a.SecretValue, b.SecretValue) })
			expectPairs(t, got, test.want...)
		})
	}
}

func TestGoSDKExpandsReferencesWhenAsked(t *testing.T) {
	p := newProject(t)
	put(t, p, "HOST", "db.internal")
	put(t, p, "URL", "postgres://${HOST}/shop")
	client := loggedIn(t, p, "viewer")
	for expand, want := range map[bool]string{true: "postgres://db.internal/shop", false: "postgres://${HOST}/shop"} {
		got, err := client.Secrets().Retrieve(infisical.RetrieveSecretOptions{SecretKey: "URL", ProjectID: p.id, Environment: "dev", ExpandSecretReferences: expand})
		if err != nil || got.SecretValue != want {
			t.Errorf("with expand %t: %q, %v; want %q", expand, got.SecretValue, err, want)
		}
	}
}

func TestGoSDKLearnsThatNothingChanged(t *testing.T) {
	p := newProject(t)
	put(t, p, "KEY", "one")
	client := loggedIn(t, p, "viewer")
	options := infisical.ListSecretsOptions{ProjectSlug: p.slug, Environment: "dev", ExpandSecretReferences: true}
	first, err := client.Secrets().ListSecrets(options)
	if err != nil || first.ETag == "" || strings.HasPrefix(first.ETag, "W/") {
		t.Fatalf("list: ETag %q, %v; want a strong one", first.ETag, err)
	}

	options.IfNoneMatch = first.ETag
	var notModified *infisical.NotModifiedError
	if _, err := client.Secrets().ListSecrets(options); !errors.As(err, &notModified) {
		t.Errorf("a list of the same: %v, want a NotModifiedError", err)
	}
	put(t, p, "KEY", "two")
	second, err := client.Secrets().ListSecrets(options)
	if err != nil || second.ETag == first.ETag {
		t.Fatalf("a list after a change: ETag %q, %v; want another than before", second.ETag, err)
	}
	expectPairs(t, second.Secrets, "KEY=two")
}

func TestGoSDKPutsSecretsIntoTheEnvironment(t *testing.T) {
	p := newProject(t)
	t.Setenv("KMS_ACCEPTANCE_ATTACHED", "") // restores what is set below
	put(t, p, "KMS_ACCEPTANCE_ATTACHED", "from the server")
	client := loggedIn(t, p, "viewer")
	if _, err := client.Secrets().List(infisical.ListSecretsOptions{ProjectID: p.id, Environment: "dev", AttachToProcessEnv: true}); err != nil {
		t.Fatal(err)
	}
	if got := setting(t, "ATTACHED"); got != "from the server" {
		t.Errorf("the variable is %q", got)
	}
}
