package main_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/hanzoai/kms/internal/pgtest"
	"github.com/jackc/pgx/v5"
)

// command is with-postgres on the arguments, without the server of the tests.
func command(t *testing.T, arguments ...string) *exec.Cmd {
	t.Helper()
	program, err := build()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, arguments...)
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, pgtest.Variable+"=") {
			cmd.Env = append(cmd.Env, variable)
		}
	}
	return cmd
}

// build builds the program once for all tests.
var build = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "with-postgres-")
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "with-postgres")
	if out, err := exec.Command("go", "build", "-o", name, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return name, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if name, err := build(); err == nil {
		os.RemoveAll(filepath.Dir(name))
	}
	os.Exit(code)
}

func TestExitCodeIsTheCommands(t *testing.T) {
	for script, want := range map[string]int{
		"exit 7":        7,
		"kill -KILL $$": 128 + 9,
	} {
		cmd := command(t, "--", "sh", "-c", script)
		_ = cmd.Run()
		if got := cmd.ProcessState.ExitCode(); got != want {
			t.Errorf("%s: exit code %d, want %d", script, got, want)
		}
	}
}

func TestUsageAndUnknownCommandsAreErrors(t *testing.T) {
	for want, arguments := range map[int][]string{
		2: {"--"},
		1: {"--", "/no/such/command"},
	} {
		cmd := command(t, arguments...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		_ = cmd.Run()
		if got := cmd.ProcessState.ExitCode(); got != want || stderr.Len() == 0 {
			t.Errorf("%q: exit code %d, want %d; it said %q", arguments, got, want, &stderr)
		}
	}
}

func TestServerThatIsNamedAlreadyIsHandedOn(t *testing.T) {
	cmd := command(t, "sh", "-c", "printf %s \"$"+pgtest.Variable+"\"")
	cmd.Env = append(cmd.Env, pgtest.Variable+"=postgres://somewhere/else")
	out, err := cmd.Output()
	if err != nil || string(out) != "postgres://somewhere/else" {
		t.Errorf("the command saw %q (%v)", out, err)
	}
}

// TestSignalReachesTheWholeCommandAndEndsTheServer has a grandchild hold the
// output open: only a signal to the group ends it.
func TestSignalReachesTheWholeCommandAndEndsTheServer(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			script := `trap 'exit 9' INT TERM
echo "$` + pgtest.Variable + `"
sh -c 'while :; do sleep 0.1; done'
exit 3`
			cmd := command(t, "--", "sh", "-c", script)
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewReader(stdout)
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			uri := strings.TrimSpace(line)
			conn, err := pgx.Connect(t.Context(), uri)
			if err != nil {
				t.Fatalf("the command's server: %v", err)
			}
			conn.Close(t.Context())

			if err := cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, lines); err != nil { // ends with the last holder
				t.Fatal(err)
			}
			var exit *exec.ExitError
			if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 9 {
				t.Errorf("it ended with %v, want the command's exit code 9", err)
			}
			if conn, err := pgx.Connect(t.Context(), uri); err == nil {
				conn.Close(t.Context())
				t.Error("the server outlived the command")
			}
		})
	}
}
