package tell_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hanzoai/kms/agent/config"
)

func shell(script string, args ...string) []string {
	return append([]string{"bash", "-c", script}, args...)
}

func TestACommandGetsItsArgumentsAsTheyAreAndNothingToRead(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "got")
	mustTell(t, config.Target{Command: shell(`cat - >"$0"; printf '%s\n' "$@" >>"$0"`, file, "$HOME", "a b", "*", ";exit 1"), Timeout: "30s"})
	if diff := cmp.Diff("$HOME\na b\n*\n;exit 1\n", read(t, file)); diff != "" {
		t.Errorf("what the command got (-want +got):\n%s", diff)
	}
}

func TestACommandGetsTheEnvironmentButNotTheAgentsSettings(t *testing.T) {
	for _, name := range []string{"KMS_CLIENT_SECRET", "KMS_", "KMSX", "TZ"} {
		t.Setenv(name, name)
	}
	file := filepath.Join(t.TempDir(), "got")
	mustTell(t, config.Target{Command: shell(`env >"$0"`, file)})
	got := "\n" + read(t, file)
	if strings.Contains(got, "\nKMS_") || !strings.Contains(got, "\nKMSX=KMSX\n") || !strings.Contains(got, "\nTZ=TZ\n") || !strings.Contains(got, "\nPATH=") {
		t.Errorf("the environment of the command is %s", got)
	}
}

func TestACommandThatFailsIsAnErrorWithoutItsOutput(t *testing.T) {
	t.Parallel()
	noise := "echo " + canary + "; echo " + canary + " >&2; "
	for _, test := range []struct {
		name    string
		command []string
		timeout string
		says    string
	}{
		{"it fails", shell(noise+"exit 3", canary), "60s", "exit status 3"},
		{"a signal ends it", shell(noise + "kill $$"), "60s", "signal: terminated"},
		{"it is not in PATH", []string{newName(), canary}, "60s", "executable file not found"},
		{"its file is not there", []string{"/nowhere/" + newName(), canary}, "60s", "no such file or directory"},
		{"its file is not for running", []string{writeFile(t, "#!/bin/sh\n"), canary}, "60s", "permission denied"},
		{"its file is no program", []string{program(t, canary), canary}, "60s", "exec format error"},
		{"it hangs", shell(noise + "exec sleep 1000"), late, "not done within " + late},
		{"it hangs and will not end", shell(noise + "trap '' TERM; while :; do sleep 1000; done"), late, "not done within " + late},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			err := mustFail(t, config.Target{Command: test.command, Timeout: test.timeout}, test.says)
			if errors.Is(err, context.DeadlineExceeded) != (test.timeout == late) {
				t.Errorf("error %v after a timeout of %s", err, test.timeout)
			}
		})
	}
}

// late is a timeout for what will not be done in time.
const late = "500ms"

func program(t *testing.T, content string) string {
	t.Helper()
	name := writeFile(t, content)
	if err := os.Chmod(name, 0o700); err != nil {
		t.Fatal(err)
	}
	return name
}

// The shell ends at once when it is asked to; what it started does not listen.
func TestATimeoutEndsAllThatACommandStarted(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "pid")
	mustFail(t, config.Target{Command: shell(`(trap '' TERM; echo $BASHPID >"$0"; while :; do sleep 1000; done) & wait`, file), Timeout: late}, "not done within "+late)
	awaitEnd(t, pidIn(t, file))
}

func TestACommandThatIsAskedToEndMayFinish(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "finished")
	mustFail(t, config.Target{Command: shell(`trap 'sleep 0.1; echo finished >"$0"; exit' TERM; sleep 1000 & wait`, file), Timeout: late}, "not done within "+late)
	if got := read(t, file); got != "finished\n" {
		t.Errorf("the command wrote %q", got)
	}
}

func TestACommandMayLeaveSomethingRunning(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "pid")
	mustTell(t, config.Target{Command: shell(`sleep 1000 & echo $! >"$0"`, file), Timeout: "60s"})
	left := pidIn(t, file)
	if err := syscall.Kill(left, syscall.SIGKILL); err != nil {
		t.Errorf("what the command left running: %v", err)
	}
}

func TestACommandLeavesNoZombie(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "pid")
	mustFail(t, config.Target{Command: shell(`echo $$ >"$0"; sleep 1000`, file), Timeout: late}, "not done")
	if left := state(pidIn(t, file)); left != "" {
		t.Errorf("the command is in state %s", left)
	}
}

func pidIn(t *testing.T, file string) int {
	t.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(read(t, file)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
