package secrets_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/sdk"
	"github.com/hanzoai/kms/server/kmstest"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"
)

// database opens the database behind a server, as somebody does who should
// not.
func database(t *testing.T, kms *kmstest.Server) *sql.DB {
	t.Helper()
	driver, name := "pgx", kms.Config.DatabaseURI.Reveal()
	if name == "" {
		driver, name = "sqlite", "file:"+kms.Config.Data+"/kms.db?_pragma=busy_timeout(20000)"
	}
	db, err := sql.Open(driver, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func execute(t *testing.T, db *sql.DB, statement string, args ...any) {
	t.Helper()
	result, err := db.Exec(statement, args...)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	if n, err := result.RowsAffected(); err != nil || n == 0 {
		t.Fatalf("%s: %d rows, %v", statement, n, err)
	}
}

func blob(t *testing.T, db *sql.DB, query string, args ...any) (value []byte) {
	t.Helper()
	if err := db.QueryRow(query, args...).Scan(&value); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return value
}

// victim is a server with secrets in several places, two versions of each,
// with comment and metadata, and somebody who can write its database.
type victim struct {
	*kmstest.Server
	db     *sql.DB
	scopes map[string]sdk.Scope // by what is special about the place
	values map[string]string    // by place and key
}

func newVictim(t *testing.T, engine string) *victim {
	t.Helper()
	kms := kmstest.New(t, kmstest.Options{Engine: engine})
	v := &victim{Server: kms, scopes: map[string]sdk.Scope{}, values: map[string]string{}}
	shop, other := kms.Project("shop"), kms.Project("other")
	v.scopes["here"] = sdk.Scope{ProjectID: shop.ID, Environment: "dev"}
	v.scopes["another folder"] = sdk.Scope{ProjectID: shop.ID, Environment: "dev", SecretPath: "/sub"}
	v.scopes["another environment"] = sdk.Scope{ProjectID: shop.ID, Environment: "prod"}
	v.scopes["another project"] = sdk.Scope{ProjectID: other.ID, Environment: "dev"}
	if _, err := kms.Admin().CreateFolder(t.Context(), v.scopes["here"], "sub", ""); err != nil {
		t.Fatal(err)
	}
	for place, scope := range v.scopes {
		for _, key := range []string{"A", "B"} {
			for version := range 2 {
				value, comment := kms.Value(), kms.Value()
				input := sdk.SecretInput{Key: key, Value: &value, Comment: &comment, Metadata: []sdk.Metadata{{Key: "note", Value: kms.Value()}}}
				write := kms.Admin().Create
				if version > 0 {
					write = kms.Admin().Update
				}
				if _, err := write(t.Context(), scope, input); err != nil {
					t.Fatal(err)
				}
				v.values[place+key] = value
			}
		}
	}
	v.db = database(t, kms)
	return v
}

// ids are those of a secret: of itself and of its two versions.
type ids struct{ secret, old, now string }

func (v *victim) ids(t *testing.T, place, key string) (found ids) {
	t.Helper()
	got, err := v.Admin().Get(t.Context(), v.scopes[place], key, sdk.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	found.secret = got.ID
	for version, into := range map[int]*string{1: &found.old, 2: &found.now} {
		*into = string(blob(t, v.db, "SELECT id FROM secret_versions WHERE secret_id = $1 AND version = $2", got.ID, version))
	}
	return found
}

// cold makes the server forget what it has in memory: it starts anew.
func (v *victim) cold(t *testing.T) {
	t.Helper()
	v.Stop()
	v.Start()
}

// wantBroken reads the secret "A" of the first place in every way, and wants
// an error that tells no value, a line in the log, and all else as it was.
func (v *victim) wantBroken(t *testing.T, others ...string) {
	t.Helper()
	ctx, scope := t.Context(), v.scopes["here"]
	logged := len(v.Logs())
	_, getErr := v.Admin().Get(ctx, scope, "A", sdk.GetOptions{})
	list, listErr := v.Admin().List(ctx, sdk.ListSecretsOptions{ProjectID: scope.ProjectID, Environment: scope.Environment})
	for what, err := range map[string]error{"get": getErr, "list": listErr} {
		if !errors.Is(err, api.ErrInternal) || !strings.Contains(fmt.Sprint(err), "integrity check") {
			t.Errorf("%s: %v, want an error that tells of the integrity check", what, err)
		}
		for _, value := range v.values {
			if form, found := kmstest.Leak(fmt.Sprint(err), value); found {
				t.Errorf("%s: the error holds a value %s", what, form)
			}
		}
	}
	if list.Secrets != nil {
		t.Errorf("the list answers %d secrets beside its error", len(list.Secrets))
	}
	if !strings.Contains(v.Logs()[logged:], "integrity check failed") {
		t.Error("the log does not tell")
	}
	// An update that keeps what is broken must not make it good.
	comment := "new"
	if _, err := v.Admin().Update(ctx, scope, sdk.SecretInput{Key: "A", Comment: &comment, Metadata: []sdk.Metadata{}}); err == nil && len(others) == 0 {
		if got, err := v.Admin().Get(ctx, scope, "A", sdk.GetOptions{}); err == nil && got.SecretValue != v.values["hereA"] {
			t.Errorf("after an update of its comment the secret is version %d, and another value", got.Version)
		}
	}
	for name, want := range map[string]string{"hereB": v.values["hereB"], "another folderA": v.values["another folderA"]} {
		place, key := name[:len(name)-1], name[len(name)-1:]
		if name == "hereB" && len(others) > 0 {
			continue
		}
		if got, err := v.Admin().Get(ctx, v.scopes[place], key, sdk.GetOptions{}); err != nil || got.SecretValue != want {
			t.Errorf("%s in %s: %v, want its value", key, place, err)
		}
	}
}

// What somebody does to the rows of the secret "A", column by column.
func TestAnAlteredSecretIsAnErrorAndNeverAValue(t *testing.T) {
	t.Parallel()
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		v := newVictim(t, engine)
		a, b := v.ids(t, "here", "A"), v.ids(t, "here", "B")
		type step struct {
			statement string
			args      []any
		}
		type attack struct {
			name   string
			steps  []step
			others []string // secrets that break with it
		}
		version := "UPDATE secret_versions SET %s = (SELECT %s FROM secret_versions WHERE id = $1) WHERE id = $2"
		head := "UPDATE secrets SET %s = (SELECT %s FROM secrets WHERE id = $1) WHERE id = $2"
		var attacks []attack
		for _, field := range []string{"value", "comment", "metadata"} {
			attacks = append(attacks, attack{name: field + " is that of another secret", steps: []step{{fmt.Sprintf(version, field, field), []any{b.now, a.now}}}})
			for place := range v.scopes {
				if place != "here" && (field == "value" || place == "another project") {
					attacks = append(attacks, attack{name: field + " is that in " + place, steps: []step{{fmt.Sprintf(version, field, field), []any{v.ids(t, place, "A").now, a.now}}}})
				}
			}
			attacks = append(attacks, attack{name: field + " is that of the version before", steps: []step{{fmt.Sprintf(version, field, field), []any{a.old, a.now}}}})
			for _, other := range []string{"value", "comment", "metadata"} {
				if other != field {
					attacks = append(attacks, attack{name: field + " is the " + other, steps: []step{{fmt.Sprintf(version, field, other), []any{a.now, a.now}}}})
				}
			}
			sealed := blob(t, v.db, "SELECT "+field+" FROM secret_versions WHERE id = $1", a.now)
			for _, at := range sample(len(sealed)) {
				attacks = append(attacks, attack{name: fmt.Sprintf("byte %d of %s is flipped", at, field),
					steps: []step{{"UPDATE secret_versions SET " + field + " = $1 WHERE id = $2", []any{flipped(sealed, at), a.now}}}})
			}
			if field != "value" {
				attacks = append(attacks, attack{name: field + " is taken away", steps: []step{{"UPDATE secret_versions SET " + field + " = NULL WHERE id = $1", []any{a.now}}}})
			}
			cuts := [][]byte{{}, sealed[:1], sealed[:32], sealed[:len(sealed)-1], append(bytes.Clone(sealed), 0)}
			for _, cut := range cuts {
				attacks = append(attacks, attack{name: fmt.Sprintf("%s has %d bytes", field, len(cut)),
					steps: []step{{"UPDATE secret_versions SET " + field + " = $1 WHERE id = $2", []any{cut, a.now}}}})
			}
		}
		mac := blob(t, v.db, "SELECT head_mac FROM secrets WHERE id = $1", a.secret)
		for _, at := range sample(len(mac)) {
			attacks = append(attacks, attack{name: fmt.Sprintf("byte %d of the head's MAC is flipped", at),
				steps: []step{{"UPDATE secrets SET head_mac = $1 WHERE id = $2", []any{flipped(mac, at), a.secret}}}})
		}
		attacks = append(attacks,
			attack{name: "the head's MAC is empty", steps: []step{{"UPDATE secrets SET head_mac = $1 WHERE id = $2", []any{[]byte{}, a.secret}}}},
			attack{name: "the head's MAC is that of another secret", steps: []step{{fmt.Sprintf(head, "head_mac", "head_mac"), []any{b.secret, a.secret}}}},
			attack{name: "the head is put back to the version before", steps: []step{{"UPDATE secrets SET version = 1, version_id = $1 WHERE id = $2", []any{a.old, a.secret}}}},
			attack{name: "the version before is put in its place", steps: []step{{"UPDATE secret_versions SET version = 99 WHERE id = $1", []any{a.now}},
				{"UPDATE secret_versions SET version = 2 WHERE id = $1", []any{a.old}}}},
			attack{name: "the current version is lost, and the one before takes its place", steps: []step{{"DELETE FROM secret_versions WHERE id = $1", []any{a.now}},
				{"UPDATE secrets SET version = 1, version_id = $1 WHERE id = $2", []any{a.old, a.secret}}}},
			attack{name: "two secrets of a folder exchange their keys", others: []string{"B"}, steps: []step{{"UPDATE secrets SET key = 'X' WHERE id = $1", []any{a.secret}},
				{"UPDATE secrets SET key = 'A' WHERE id = $1", []any{b.secret}}, {"UPDATE secrets SET key = 'B' WHERE id = $1", []any{a.secret}}}},
			attack{name: "another secret takes its key", others: []string{"B"}, steps: []step{{"UPDATE secrets SET key = 'X' WHERE id = $1", []any{a.secret}},
				{"UPDATE secrets SET key = 'A' WHERE id = $1", []any{b.secret}}}},
			attack{name: "a reference is made up", steps: []step{{"UPDATE secret_versions SET refs = $1 WHERE id = $2",
				[]any{`[{"text":"B","environment":"","path":"","key":"B"}]`, a.now}}}},
		)
		for _, statement := range []string{"CREATE TABLE saved_secrets AS SELECT * FROM secrets", "CREATE TABLE saved_versions AS SELECT * FROM secret_versions"} {
			if _, err := v.db.Exec(statement); err != nil {
				t.Fatal(err)
			}
		}
		restore := func() {
			tx, err := v.db.Begin()
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback()
			for _, statement := range []string{"DELETE FROM secret_versions", "DELETE FROM secrets", "INSERT INTO secrets SELECT * FROM saved_secrets",
				"INSERT INTO secret_versions SELECT * FROM saved_versions"} {
				if _, err := tx.Exec(statement); err != nil {
					t.Fatalf("%s: %v", statement, err)
				}
			}
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
		}
		for _, attack := range attacks {
			t.Run(attack.name, func(t *testing.T) {
				for _, step := range attack.steps {
					execute(t, v.db, step.statement, step.args...)
				}
				v.changed(t)
				v.wantBroken(t, attack.others...)
				restore()
			})
		}
		v.changed(t)
		v.wantAll(t)
	})
}

// changed makes the server read the folders again, as any change in them does:
// who can write the database can write the change feed.
func (v *victim) changed(t *testing.T) {
	t.Helper()
	execute(t, v.db, "INSERT INTO feed (kind, entity_id, environment_id, revision, created_at) SELECT 'folder', id, environment_id, 0, 0 FROM folders")
}

// sample is places in a text of that length, some of each part: format, key
// version, nonce, ciphertext, tag.
func sample(length int) []int {
	return []int{0, 1, 4, 5, 16, 17, length / 2, length - 16, length - 1}
}

func flipped(sealed []byte, at int) []byte {
	changed := bytes.Clone(sealed)
	changed[at] ^= 1
	return changed
}

func TestADeletedSecretCannotBeBroughtBackInTheDatabase(t *testing.T) {
	t.Parallel()
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		v := newVictim(t, engine)
		a := v.ids(t, "here", "A")
		if _, err := v.Admin().Delete(t.Context(), v.scopes["here"], "A"); err != nil {
			t.Fatal(err)
		}
		execute(t, v.db, "UPDATE secrets SET deleted_at = 0 WHERE id = $1", a.secret)
		v.changed(t)
		v.wantBroken(t)
	})
}

// Deleting is the other way out, and its answer shows no value.
func TestASecretThatBrokeCanBeDeleted(t *testing.T) {
	t.Parallel()
	v := newVictim(t, kmstest.SQLite)
	a := v.ids(t, "here", "A")
	execute(t, v.db, "UPDATE secrets SET head_mac = $1 WHERE id = $2", []byte{1}, a.secret)
	execute(t, v.db, "UPDATE secret_versions SET value = $1 WHERE id = $2", []byte{1}, a.now)
	v.changed(t)
	gone, err := v.Admin().Delete(t.Context(), v.scopes["here"], "A")
	if err != nil || gone.SecretValue != "<hidden-by-infisical>" {
		t.Fatalf("delete it: %v", err)
	}
	if _, err := v.Admin().Get(t.Context(), v.scopes["here"], "A", sdk.GetOptions{}); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("after that: %v", err)
	}
}

// The error tells to set the secret anew: that works, and needs no other tool.
func TestASecretThatBrokeCanBeSetAnew(t *testing.T) {
	t.Parallel()
	v := newVictim(t, kmstest.SQLite)
	a := v.ids(t, "here", "A")
	sealed := blob(t, v.db, "SELECT value FROM secret_versions WHERE id = $1", a.now)
	execute(t, v.db, "UPDATE secret_versions SET value = $1 WHERE id = $2", flipped(sealed, 20), a.now)
	v.changed(t)
	v.wantBroken(t)
	value := v.Value()
	if _, err := v.Admin().Update(t.Context(), v.scopes["here"], sdk.SecretInput{Key: "A", Value: &value}); err != nil {
		t.Fatalf("set it anew: %v", err)
	}
	if got, err := v.Admin().Get(t.Context(), v.scopes["here"], "A", sdk.GetOptions{}); err != nil || got.SecretValue != value || got.Version != 3 {
		t.Errorf("after that: version %d, %v", got.Version, err)
	}
}

// A keyed hash that was altered or moved lets nobody in, and nobody in as
// somebody else.
func TestAnAlteredCredentialLetsNobodyIn(t *testing.T) {
	t.Parallel()
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		v := newVictim(t, engine)
		viewer, admin := v.Identity(api.Project{Slug: "one"}, ""), v.Identity(api.Project{Slug: "two"}, "")
		lookups := "SELECT lookup FROM client_secrets WHERE identity_id = $1"
		mine, theirs := blob(t, v.db, lookups, viewer.IdentityID), blob(t, v.db, lookups, admin.IdentityID)
		set := func(identity string, lookup []byte) {
			execute(t, v.db, "UPDATE client_secrets SET lookup = $1 WHERE identity_id = $2", lookup, identity)
		}
		login := func(c kmstest.Credentials) error { return v.Client(c).Login(t.Context()) }
		refused := func(err error) bool { // the third time it is too many
			return errors.Is(err, api.ErrUnauthenticated) || errors.Is(err, api.ErrRateLimited)
		}
		for _, at := range []int{0, 1, len(mine) / 2, len(mine) - 1} {
			set(viewer.IdentityID, flipped(mine, at))
			if err := login(viewer); !refused(err) {
				t.Errorf("a flipped byte %d: %v, want 401", at, err)
			}
		}
		// The viewer's secret is put where the admin's is: it must not log in as
		// the viewer, whose client id it comes with. (That it would as the admin,
		// by his client id, is what a written database cannot be kept from.)
		set(viewer.IdentityID, []byte("none"))
		set(admin.IdentityID, mine)
		if err := login(viewer); !refused(err) {
			t.Errorf("a moved secret: %v, want 401", err)
		}
		if err := login(admin); !refused(err) {
			t.Errorf("the secret that was replaced: %v, want 401", err)
		}
		set(admin.IdentityID, theirs)
		set(viewer.IdentityID, mine)
		v.cold(t) // it remembers what a hash led to
		for _, c := range []kmstest.Credentials{viewer, admin} {
			if err := login(c); err != nil {
				t.Errorf("with everything as it was: %v", err)
			}
		}
		opaque := blob(t, v.db, "SELECT lookup FROM opaque_tokens")
		execute(t, v.db, "UPDATE opaque_tokens SET lookup = $1", flipped(opaque, 5))
		if _, err := v.Admin().ListProjects(t.Context()); !errors.Is(err, api.ErrUnauthenticated) {
			t.Errorf("an altered opaque token: %v, want 401", err)
		}
	})
}
