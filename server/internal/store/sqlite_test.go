package store_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/internal/store"
)

func TestADataDirectoryServesOneProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, err := store.Open(t.Context(), store.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	_, err = store.Open(t.Context(), store.Config{Dir: dir})
	wantError(t, err, api.ErrConflict)
	if err != nil && !(strings.Contains(err.Error(), dir) && strings.Contains(err.Error(), "another process")) {
		t.Errorf("got %q, want it to say that another process uses %s", err, dir)
	}
	if err := first.Migrate(t.Context()); err != nil {
		t.Errorf("the first holder after the refusal: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	newStore(t, store.Config{Dir: dir})
}

func TestADataDirectoryIsForItsOwnerOnly(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		make func(dir string) error
		want fs.FileMode
	}{
		"a new directory":           {func(string) error { return nil }, 0o700},
		"a volume open to everyone": {func(dir string) error { return os.MkdirAll(dir, 0o755) }, 0o755},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "below", "data")
			if err := test.make(dir); err != nil {
				t.Fatal(err)
			}
			seed(t, newStore(t, store.Config{Dir: dir})) // the store is open: its log files are there
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, entry := range entries {
				names = append(names, entry.Name())
				if info, err := entry.Info(); err != nil || info.Mode() != 0o600 {
					t.Errorf("%s: mode %v, %v; want -rw-------", entry.Name(), info.Mode(), err)
				}
			}
			diff(t, "files", names, []string{"kms.db", "kms.db-shm", "kms.db-wal", "lock"})
			if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != test.want {
				t.Errorf("directory: mode %v, %v; want %v", info.Mode(), err, test.want)
			}
		})
	}
}

func TestADataDirectoryMayHaveAnyName(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "what? 100%25 #1 & 'more'")
	s, err := store.Open(t.Context(), store.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := seed(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, "kms.db")); err != nil || info.Size() == 0 {
		t.Errorf("kms.db: %v, %v; want the database in it", info, err)
	}
	got := read(t, open(t, store.Config{Dir: dir}), slugs)
	diff(t, "organisations after opening it again", got, []string{w.organization.Slug})
}

func TestADataDirectoryThatCannotBeMadeIsNamed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(t.Context(), store.Config{Dir: filepath.Join(file, "data")}); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("Open: %v, want an error that names %s", err, file)
	}
}

func TestAFileThatIsNoDatabaseIsRefusedAndKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, content := filepath.Join(dir, "kms.db"), strings.Repeat("not a database ", 1000)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(t.Context(), store.Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("Open: %v, want an error that names %s", err, path)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != content {
		t.Errorf("the file after it: %d bytes, %v; want it untouched", len(got), err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	newStore(t, store.Config{Dir: dir}) // the refusal let go of the directory
}

func TestSQLiteReadersDoNotWaitForTheWriter(t *testing.T) {
	t.Parallel()
	s := newStore(t, emptySQLite(t))
	update(t, s, func(ctx context.Context, tx *store.Tx) error {
		if err := tx.AddOrganization(ctx, organization("hanzo")); err != nil {
			return err
		}
		if got := read(t, s, slugs); got != nil {
			t.Errorf("a View beside an open Update sees %v", got)
		}
		return nil
	})
}
