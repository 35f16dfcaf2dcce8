package store_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/internal/store"
)

// inNamespace marks the child process that may mount what it likes: its
// mounts are seen by nobody else and end with it.
const inNamespace = "KMS_TEST_IN_NAMESPACE"

func TestAFullDiskIsAnOutageUntilThereIsSpace(t *testing.T) {
	t.Parallel()
	if os.Getenv(inNamespace) == "" {
		runInNamespace(t)
		return
	}
	dir := tinyDisk(t)
	s := newStore(t, store.Config{Dir: filepath.Join(dir, "data")})
	w := seed(t, s)
	feed := follow(t, s)
	fill(t, filepath.Join(dir, "filler"))

	stored, failure := fillWithSecrets(t, s, w.root.ID)
	wantError(t, failure, api.ErrUnavailable)
	wantError(t, s.AppendAudit(t.Context(), batch("run", 1), []store.AuditRow{auditRow("run", 1, 0)}, nil), api.ErrUnavailable)
	wantError(t, try(t, s, organizationOf(64<<10)), api.ErrUnavailable)

	wantSecrets := func(when string) {
		t.Helper()
		diff(t, "secrets "+when, len(folderSecrets(t, s, w.root.ID)), stored)
		diff(t, "changes "+when, len(read(t, s, func(ctx context.Context, tx *store.Tx) ([]store.Organization, error) { return tx.Organizations(ctx) })), 1)
	}
	wantSecrets("while the disk is full")
	if err := os.Remove(filepath.Join(dir, "filler")); err != nil {
		t.Fatal(err)
	}
	wantSecrets("when there is space again")
	diff(t, "changes that the feed tells", len(readFeed(t, feed)), stored)
	update(t, s, organizationOf(64<<10))
	if err := s.AppendAudit(t.Context(), batch("run", 1), []store.AuditRow{auditRow("run", 1, 0)}, nil); err != nil {
		t.Errorf("AppendAudit when there is space again: %v", err)
	}
}

// fillWithSecrets commits secrets of 32 KiB, each with a row of the feed,
// until one fails.
func fillWithSecrets(t *testing.T, s *store.Store, folderID string) (stored int, err error) {
	for range 100 {
		secret := newSecret(folderID, store.NewID())
		secret.Version.Value = make([]byte, 32<<10)
		err := try(t, s,
			func(ctx context.Context, tx *store.Tx) error { return tx.AddSecret(ctx, secret.Secret, secret.Version) },
			func(ctx context.Context, tx *store.Tx) error {
				return tx.Changed(ctx, store.Change{Kind: store.KindFolder})
			})
		if err != nil {
			return stored, err
		}
		stored++
	}
	return stored, errors.New("the disk takes 3 MiB and is not full")
}

func organizationOf(size int) func(context.Context, *store.Tx) error {
	return func(ctx context.Context, tx *store.Tx) error {
		o := organization("large")
		o.Name = string(make([]byte, size))
		return tx.AddOrganization(ctx, o)
	}
}

func tinyDisk(t *testing.T) string {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=2m"); err != nil {
		t.Fatalf("mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

// fill leaves room for a few transactions on the disk that holds path.
func fill(t *testing.T, path string) {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(filepath.Dir(path), &disk); err != nil {
		t.Fatal(err)
	}
	free := int(disk.Bavail) * int(disk.Bsize)
	if err := os.WriteFile(path, make([]byte, free-256<<10), 0o600); err != nil {
		t.Fatal(err)
	}
}

// runInNamespace runs this test alone in a process with mounts of its own;
// who is not root becomes it in a user namespace.
func runInNamespace(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), inNamespace+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("in a mount namespace (run the tests as root, or allow user namespaces): %v\n%s", err, out)
	}
}
