package pgtest_test

import (
	"bufio"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hanzoai/kms/internal/pgtest"
	"github.com/jackc/pgx/v5"
)

func connect(t *testing.T, uri string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), uri)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(func() { conn.Close(t.Context()) })
	return conn
}

func exec1(t *testing.T, conn *pgx.Conn, statement string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func query[T any](t *testing.T, conn *pgx.Conn, statement string) (value T) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), statement).Scan(&value); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	return value
}

// startShared is a server for those tests that neither crash nor fill it. It
// ends with this process.
var startShared = sync.OnceValues(func() (*pgtest.Server, error) {
	return pgtest.Start(context.Background(), pgtest.Options{})
})

// sharedServer makes it the server that pgtest's functions use in this test.
func sharedServer(t *testing.T) *pgtest.Server {
	t.Helper()
	server, err := startShared()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(pgtest.Variable, server.URI())
	t.Setenv(pgtest.ThrowAway, "")
	return server
}

func TestServerFlushesEveryCommit(t *testing.T) {
	conn := connect(t, sharedServer(t).URI())
	for name, want := range map[string]string{
		"fsync":              "on",
		"synchronous_commit": "on",
		"full_page_writes":   "on",
		"server_encoding":    "UTF8",
		"max_connections":    "200",
		"listen_addresses":   "127.0.0.1",
	} {
		if got := query[string](t, conn, "SHOW "+name); got != want {
			t.Errorf("%s = %s, want %s", name, got, want)
		}
	}
}

func TestSettingsOfOptionsOverrideThePackagesOwn(t *testing.T) {
	server, err := pgtest.Start(t.Context(), pgtest.Options{Settings: []string{"max_connections=17", "commit_delay=3000"}})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Stop()
	conn := connect(t, server.URI())
	if got := query[string](t, conn, "SHOW max_connections"); got != "17" {
		t.Errorf("max_connections = %s, want 17", got)
	}
	if got := query[string](t, conn, "SHOW commit_delay"); got != "3000" {
		t.Errorf("commit_delay = %s, want 3000", got)
	}
}

func TestStartSaysWhatPostgresComplainedAbout(t *testing.T) {
	server, err := pgtest.Start(t.Context(), pgtest.Options{Settings: []string{"no_such_setting=1"}})
	if err == nil {
		server.Stop()
		t.Fatal("a server with an unknown setting started")
	}
	if !strings.Contains(err.Error(), "no_such_setting") {
		t.Errorf("the error does not hold PostgreSQL's own words: %v", err)
	}
}

func TestStartSaysThatTheServersUserCannotReachItsDirectory(t *testing.T) {
	if os.Geteuid() != 0 {
		return // PostgreSQL runs as this user, who reaches his own directories
	}
	t.Setenv("TMPDIR", t.TempDir())
	server, err := pgtest.Start(t.Context(), pgtest.Options{})
	if err == nil {
		server.Stop()
		t.Fatal("a server started in a directory of mode 0700 of another user")
	}
	if !strings.Contains(err.Error(), "TMPDIR") {
		t.Errorf("the error does not say what to do: %v", err)
	}
}

func TestServerRefusesAWrongPassword(t *testing.T) {
	config, err := pgx.ParseConfig(sharedServer(t).URI())
	if err != nil {
		t.Fatal(err)
	}
	config.Password = "wrong"
	if conn, err := pgx.ConnectConfig(t.Context(), config); err == nil {
		conn.Close(t.Context())
		t.Error("every user of this machine may act as the superuser")
	}
}

func TestCrashKeepsWhatWasCommittedAndLosesWhatWasNot(t *testing.T) {
	server := pgtest.New(t)
	uri := server.URI()
	conn := connect(t, uri)
	exec1(t, conn, "CREATE TABLE kept (n int)")
	exec1(t, conn, "INSERT INTO kept VALUES (1)")
	exec1(t, conn, "BEGIN")
	exec1(t, conn, "INSERT INTO kept VALUES (2)")

	server.Crash()
	if _, err := conn.Exec(t.Context(), "COMMIT"); err == nil {
		t.Fatal("a connection outlived the crash")
	}
	if conn, err := pgx.Connect(t.Context(), uri); err == nil {
		conn.Close(t.Context())
		t.Fatal("a crashed server took a connection")
	}
	server.Crash() // nothing is left to crash

	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := server.URI(); got != uri {
		t.Error("the URI changed over the restart")
	}
	if sum := query[int](t, connect(t, uri), "SELECT sum(n) FROM kept"); sum != 1 {
		t.Errorf("the rows add up to %d, want 1", sum)
	}

	before := server.PID()
	if err := server.Restart(t.Context()); err != nil {
		t.Fatalf("restart without a crash before it: %v", err)
	}
	if server.PID() == before {
		t.Error("the postmaster is still the same")
	}
	connect(t, server.URI())
}

func TestStopLeavesNoProcessAndNoFile(t *testing.T) {
	temp := useTemp(t)
	server, err := pgtest.Start(t.Context(), pgtest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	pid := server.PID()
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := server.Stop(); err != nil {
		t.Errorf("the second stop: %v", err)
	}
	if alive(pid) {
		t.Error("the postmaster is alive")
	}
	if left := clusters(t, temp); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := server.Restart(t.Context()); err == nil {
		t.Error("a stopped server restarted without files")
	}
}

func TestStartSweepsDirectoriesOfTheDeadOnly(t *testing.T) {
	temp := useTemp(t)
	living, err := pgtest.Start(t.Context(), pgtest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer living.Stop()
	stale := filepath.Join(temp, "kms-pgtest-stale")
	if err := os.MkdirAll(filepath.Join(stale, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	unrelated := filepath.Join(temp, "kms-other")
	if err := os.Mkdir(unrelated, 0o700); err != nil {
		t.Fatal(err)
	}

	second, err := pgtest.Start(t.Context(), pgtest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Stop()
	if _, err := os.Stat(stale); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the stale directory is still there (%v)", err)
	}
	if _, err := os.Stat(unrelated); err != nil {
		t.Errorf("a directory of somebody else is gone: %v", err)
	}
	connect(t, living.URI())
}

// TestServerEndsWithItsProcess runs TestHoldAServer in a process that is
// killed, or that ends without a word.
func TestServerEndsWithItsProcess(t *testing.T) {
	for _, end := range []string{"killed", "exits"} {
		t.Run(end, func(t *testing.T) {
			temp := useTemp(t)
			child := exec.Command(os.Args[0], "-test.run=^TestHoldAServer$")
			child.Env = append(os.Environ(), holdVariable+"="+end)
			stdin, err := child.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			stdout, err := child.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(stdout).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			address := strings.TrimSpace(line)
			if !listens(address) {
				t.Fatalf("the child has no server: %s", line)
			}
			if end == "killed" {
				child.Process.Kill()
			}
			stdin.Close()
			child.Wait()
			await(t, "the server still listens", func() bool { return !listens(address) })
			await(t, "its directory is still there", func() bool { return len(clusters(t, temp)) == 0 })
		})
	}
}

func listens(address string) bool {
	conn, err := net.Dial("tcp", address)
	if err == nil {
		conn.Close()
	}
	return err == nil
}

const holdVariable = "PGTEST_HOLD"

// TestHoldAServer is the child of TestServerEndsWithItsProcess: it leaves a
// running server to its fate. Run by itself it checks that one can be started.
func TestHoldAServer(t *testing.T) {
	server, err := pgtest.Start(t.Context(), pgtest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv(holdVariable) == "" {
		server.Stop()
		return
	}
	config, err := pgx.ParseConfig(server.URI())
	if err != nil {
		t.Fatal(err)
	}
	os.Stdout.WriteString(net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port))) + "\n")
	os.Stdin.Read(make([]byte, 1)) // until the parent closes it
	os.Exit(0)
}

// await polls for the end of a process that is not a child of this one, for
// which there is no event; it gives up after a minute.
func await(t *testing.T, otherwise string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(otherwise)
		}
	}
}

// useTemp has servers make their directories in a place of this test's own.
func useTemp(t *testing.T) string {
	t.Helper()
	// Not t.TempDir, which the user that PostgreSQL runs as may not enter.
	temp, err := os.MkdirTemp("", "kms-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(temp) })
	if err := os.Chmod(temp, 0o711); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", temp)
	return temp
}

func clusters(t *testing.T, temp string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(temp, "kms-pgtest-*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }
