package store_test

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/internal/pgtest"
	"github.com/hanzoai/kms/server/internal/store"

	"github.com/jackc/pgx/v5"
)

func add(r store.SecretRow) func(context.Context, *store.Tx) error {
	return func(ctx context.Context, tx *store.Tx) error { return tx.AddSecret(ctx, r.Secret, r.Version) }
}

func folderSecrets(tb testing.TB, s *store.Store, folderID string) []store.SecretRow {
	tb.Helper()
	return read(tb, s, func(ctx context.Context, tx *store.Tx) ([]store.SecretRow, error) {
		return tx.FolderSecrets(ctx, folderID)
	})
}

func versions(tb testing.TB, s *store.Store, secretID string, offset, limit int64) []store.SecretVersion {
	tb.Helper()
	return read(tb, s, func(ctx context.Context, tx *store.Tx) ([]store.SecretVersion, error) {
		return tx.SecretVersions(ctx, secretID, offset, limit)
	})
}

// Bodies and ETags must not depend on the locale of a database.
func TestSecretsAreListedByTheBytesOfTheirKeys(t *testing.T) {
	t.Parallel()
	sort := func(t *testing.T, s *store.Store) {
		w := seed(t, s)
		keys := []string{"a", "B", "_", "A", "b", "a.b", "a-b", "a_b", "AB", "aB", "9", "10", "é", "z", "Z", "a b"}
		for _, key := range keys {
			update(t, s, add(newSecret(w.root.ID, key)))
		}
		var got []string
		for _, row := range folderSecrets(t, s, w.root.ID) {
			got = append(got, row.Secret.Key)
		}
		slices.Sort(keys)
		diff(t, "keys", got, keys)
		count := read(t, s, func(ctx context.Context, tx *store.Tx) (int64, error) { return tx.CountSecrets(ctx, w.root.ID) })
		diff(t, "number of secrets", count, int64(len(keys)))
	}
	t.Run("sqlite", func(t *testing.T) { sort(t, newStore(t, emptySQLite(t))) })
	t.Run("postgres", func(t *testing.T) { sort(t, newStore(t, englishPostgres(t))) })
}

// englishPostgres is an empty database that sorts like a dictionary, as those
// that an installer makes do.
func englishPostgres(t *testing.T) store.Config {
	t.Helper()
	uri, err := url.Parse(pgtest.URI(t))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), uri.String())
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(uri.Path, "/") + "_english"
	if _, err := conn.Exec(t.Context(), "CREATE DATABASE "+name+" TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'"); err != nil {
		t.Fatalf("create a database that sorts in English: %v", err)
	}
	t.Cleanup(func() {
		_, err := conn.Exec(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)")
		if err := errors.Join(err, conn.Close(context.Background())); err != nil {
			t.Errorf("drop the database %s: %v", name, err)
		}
	})
	uri.Path = "/" + name
	return store.Config{URI: uri.String()}
}

func TestASecretIsReadAsItWasWritten(t *testing.T) {
	full := func(r *store.SecretRow) {
		r.Version.Value, r.Version.Comment, r.Version.Metadata = []byte{0, 1, 254, 255}, []byte{0}, []byte("sealed metadata")
		r.Version.Refs = []store.Reference{{Text: "prod.api.KEY", Environment: "prod", Path: "/api", Key: "KEY"}, {Text: `"<&>"`, Key: "OTHER"}}
		r.Version.Tags = []string{store.NewID(), store.NewID()}
		r.Version.SkipMultiline, r.Version.ReminderNote, r.Version.ReminderDays = true, "rotate; -- 'it'", 30
	}
	tests := map[string]func(*store.SecretRow){
		"with everything that a secret may have": full,
		"with nothing":                           func(*store.SecretRow) {},
		"with a value of 1 MiB":                  func(r *store.SecretRow) { r.Version.Value = make([]byte, 1<<20) },
		"with a sealed comment and no metadata":  func(r *store.SecretRow) { r.Version.Comment = []byte("sealed") },
	}
	onBoth(t, func(t *testing.T, s *store.Store) {
		w := seed(t, s)
		for name, fill := range tests {
			t.Run(name, func(t *testing.T) {
				want := newSecret(w.root.ID, name)
				fill(&want)
				update(t, s, add(want))
				rows := folderSecrets(t, s, w.root.ID)
				i := slices.IndexFunc(rows, func(r store.SecretRow) bool { return r.Secret.Key == name })
				diff(t, "in its folder", rows[i], want)
				diff(t, "by key", read(t, s, func(ctx context.Context, tx *store.Tx) (store.SecretRow, error) {
					return tx.SecretByKey(ctx, w.root.ID, name)
				}), want)
				diff(t, "its version", read(t, s, func(ctx context.Context, tx *store.Tx) (store.SecretVersion, error) {
					return tx.SecretVersion(ctx, want.Secret.ID, 1)
				}), want.Version)
			})
		}
	})
}

func TestASecretKeepsItsHistory(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		w := seed(t, s)
		v1 := newSecret(w.root.ID, "OLD_NAME")
		v2 := next(v1)
		v2.Version.Value = []byte("sealed 2")
		v3 := next(v2)
		v3.Secret.Key, v3.Version.Key = "NEW_NAME", "NEW_NAME"
		v3.Secret.HeadMAC = []byte("head 3")
		update(t, s, add(v1))
		for _, v := range []store.SecretRow{v2, v3} {
			update(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.UpdateSecret(ctx, v.Secret, v.Version) })
		}
		diff(t, "the current version", folderSecrets(t, s, w.root.ID), []store.SecretRow{v3})
		diff(t, "history", versions(t, s, v1.Secret.ID, 0, 10), []store.SecretVersion{v3.Version, v2.Version, v1.Version})
		diff(t, "a page of it", versions(t, s, v1.Secret.ID, 1, 1), []store.SecretVersion{v2.Version})
		diff(t, "its folder", read(t, s, func(ctx context.Context, tx *store.Tx) (string, error) { return tx.SecretFolder(ctx, v1.Secret.ID) }), w.root.ID)
	})
}

func TestADeletedSecretKeepsItsHistoryAndFreesItsKey(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		w := seed(t, s)
		first := newSecret(w.root.ID, "KEY")
		remove := func(ctx context.Context, tx *store.Tx) error { return tx.DeleteSecret(ctx, first.Secret.ID, now+1) }
		update(t, s, add(first))
		update(t, s, remove)
		if got := folderSecrets(t, s, w.root.ID); got != nil {
			t.Errorf("secrets after the deletion: %v, want none", got)
		}
		diff(t, "history after the deletion", versions(t, s, first.Secret.ID, 0, 10), []store.SecretVersion{first.Version})
		_, err := tryRead(t, s, func(ctx context.Context, tx *store.Tx) (string, error) { return tx.SecretFolder(ctx, first.Secret.ID) })
		wantError(t, err, api.ErrNotFound)
		wantError(t, try(t, s, remove), api.ErrNotFound)
		v2 := next(first)
		wantError(t, try(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.UpdateSecret(ctx, v2.Secret, v2.Version) }), api.ErrNotFound)

		again := newSecret(w.root.ID, "KEY")
		update(t, s, add(again))
		diff(t, "secrets after it was made again", folderSecrets(t, s, w.root.ID), []store.SecretRow{again})
		wantError(t, try(t, s, add(newSecret(w.root.ID, "KEY"))), api.ErrExists)
		update(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteSecret(ctx, again.Secret.ID, now+2) })
		update(t, s, add(newSecret(w.root.ID, "KEY"))) // two deleted ones of the same key
	})
}

func TestOfTwentyWritersOneMakesTheNextVersion(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		w := seed(t, s)
		first := newSecret(w.root.ID, "KEY")
		update(t, s, add(first))
		made := race(20, func() bool {
			v2 := next(first)
			err := try(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.UpdateSecret(ctx, v2.Secret, v2.Version) })
			if err != nil {
				wantError(t, err, api.ErrExists)
			}
			return err == nil
		})
		diff(t, "writers who made version 2", made, 1)
		diff(t, "versions", len(versions(t, s, first.Secret.ID, 0, 10)), 2)
	})
}

func TestFoldersFormATree(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		w := seed(t, s)
		folder := func(parentID, name string) store.Folder {
			return store.Folder{ID: store.NewID(), EnvironmentID: w.environment.ID, ParentID: parentID, Name: name, Description: "of " + name, Version: 1, CreatedAt: now, UpdatedAt: now}
		}
		b, a, upper := folder(w.root.ID, "b"), folder(w.root.ID, "a"), folder(w.root.ID, "B")
		insideA := folder(a.ID, "b") // the same name elsewhere
		for _, f := range []store.Folder{b, a, upper, insideA} {
			update(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.AddFolder(ctx, f) })
		}
		folders := func(ctx context.Context, tx *store.Tx) ([]store.Folder, error) {
			return tx.Folders(ctx, w.environment.ID)
		}
		diff(t, "folders", read(t, s, folders), []store.Folder{w.root, upper, a, b, insideA})

		feed := follow(t, s)
		b.Name, b.Description, b.UpdatedAt = "c", "", now+1
		update(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.UpdateFolder(ctx, b) })
		b.Version++
		update(t, s, func(ctx context.Context, tx *store.Tx) error {
			return tx.FolderChanged(ctx, w.environment.ID, a.ID, now+2)
		})
		a.Version, a.UpdatedAt = a.Version+1, now+2
		diff(t, "folders after changes", read(t, s, folders), []store.Folder{w.root, upper, a, b, insideA})
		got := readFeed(t, feed)
		diff(t, "what the feed tells", entities(got), []string{"environment " + w.environment.ID, "folder " + a.ID})
		diff(t, "the revision it tells", got[1].Revision, environments(t, s, w.project.ID)[0].Revision)
		diff(t, "environment of a folder", read(t, s, func(ctx context.Context, tx *store.Tx) (string, error) { return tx.FolderEnvironment(ctx, a.ID) }), w.environment.ID)
	})
}

func TestDeletedFoldersTakeTheirSecretsAlong(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		w := seed(t, s)
		folder := store.Folder{ID: store.NewID(), EnvironmentID: w.environment.ID, ParentID: w.root.ID, Name: "api", Version: 1, CreatedAt: now, UpdatedAt: now}
		gone, kept := newSecret(folder.ID, "KEY"), newSecret(w.root.ID, "KEY")
		update(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.AddFolder(ctx, folder) }, add(gone), add(kept))
		feed := follow(t, s)
		remove := func(environmentID string) error {
			return try(t, s, func(ctx context.Context, tx *store.Tx) error {
				return tx.DeleteFolders(ctx, environmentID, []string{folder.ID}, now)
			})
		}
		wantError(t, remove(store.NewID()), api.ErrNotFound) // not a folder of that environment
		if err := remove(w.environment.ID); err != nil {
			t.Fatal(err)
		}
		if got := versions(t, s, gone.Secret.ID, 0, 10); got != nil {
			t.Errorf("versions of a secret of the folder: %v, want none", got)
		}
		diff(t, "secrets of its parent", folderSecrets(t, s, w.root.ID), []store.SecretRow{kept})
		diff(t, "what the feed tells", entities(readFeed(t, feed)), []string{"folder " + folder.ID, "environment " + w.environment.ID})
	})
}
