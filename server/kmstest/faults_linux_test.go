package kmstest_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hanzoai/kms/server/kmstest"
)

// inNamespace marks the child process that may mount what it likes: its mounts
// are seen by nobody else and end with it.
const inNamespace = "KMS_TEST_IN_NAMESPACE"

func TestAFullDiskRefusesWritesAndReadsUntilThereIsSpace(t *testing.T) {
	if os.Getenv(inNamespace) == "" {
		runInNamespace(t)
		return
	}
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=8m"); err != nil {
		t.Fatalf("mount a small file system: %v", err)
	}
	kms := kmstest.New(t, kmstest.Options{Configure: func(c *kmstest.Config) { c.Data = filepath.Join(disk, "data") }})
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	project := kms.Project("shop")
	kms.Put(project, "dev", "/", "KEY", "value")
	token := login(t, kms, kms.Identity(project, "member"))
	read := func() reply { return disclose(t, kms, token, project.ID) }
	written := 0
	write := func(size int) reply {
		written++
		r, err := call(t.Context(), http.MethodPost, kms.URL+"/api/v3/secrets/batch/raw", token, map[string]any{"workspaceId": project.ID, "environment": "staging", "secretPath": "/",
			"secrets": []map[string]string{{"secretKey": fmt.Sprint("LARGE_", written), "secretValue": strings.Repeat("x", size)}}})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	fill(t, filepath.Join(disk, "filler"))

	until503(t, "write", func() reply { return write(64 << 10) })
	until503(t, "read", read)
	if err := os.Remove(filepath.Join(disk, "filler")); err != nil {
		t.Fatal(err)
	}
	if r := read(); r.status != http.StatusOK {
		t.Errorf("read when there is space again: status %d: %s", r.status, r.body)
	}
	kms.Put(project, "dev", "/", "KEY", "value", "NEW", "value")
	if report, err := kms.App().Service().Audit().Verify(t.Context(), nil); err != nil || len(report.Problems) > 0 {
		t.Errorf("verify: %v, %v", report.Problems, err)
	}
}

// disclose reads a value; whatever is answered but 503 must be right.
func disclose(t *testing.T, kms *kmstest.Server, token, projectID string) reply {
	r, err := call(t.Context(), http.MethodGet, kms.URL+"/api/v3/secrets/raw/KEY?workspaceId="+projectID+"&environment=dev&secretPath=/", token, nil)
	if err != nil {
		t.Fatal(err)
	}
	if found := strings.Contains(string(r.body), `"secretValue":"value"`); found != (r.status == http.StatusOK) {
		t.Fatalf("status %d with the value there: %t", r.status, found)
	}
	return r
}

// until503 repeats a request until the disk has no room for it.
func until503(t *testing.T, what string, do func() reply) {
	t.Helper()
	for range 5000 {
		switch r := do(); {
		case r.status == http.StatusServiceUnavailable && r.retryAfter != "":
			return
		case r.status != http.StatusOK:
			t.Fatalf("%s: status %d, Retry-After %q: %s", what, r.status, r.retryAfter, r.body)
		}
	}
	t.Fatalf("%s: the disk is full and nothing is refused", what)
}

// fill leaves some room on the disk that holds path.
func fill(t *testing.T, path string) {
	t.Helper()
	var disk syscall.Statfs_t
	if err := syscall.Statfs(filepath.Dir(path), &disk); err != nil {
		t.Fatal(err)
	}
	free := int(disk.Bavail) * int(disk.Bsize)
	if err := os.WriteFile(path, make([]byte, free-128<<10), 0o600); err != nil {
		t.Fatal(err)
	}
}

// runInNamespace runs this test alone in a process with mounts of its own; who
// is not root becomes it in a user namespace.
func runInNamespace(t *testing.T) {
	t.Helper()
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
