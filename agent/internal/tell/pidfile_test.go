package tell_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/hanzoai/kms/agent/config"
	"github.com/hanzoai/kms/agent/internal/tell"
)

func TestTheProcessOfAPIDFileGetsTheSignal(t *testing.T) {
	t.Parallel()
	a := startAs(t, newName())
	for _, format := range []string{"%d", "%d\n", "  %d\r\n", "%d\n/var/lib/postgresql/data\n1700000000\n5432\n"} {
		mustTell(t, config.Target{PIDFile: writeFile(t, fmt.Sprintf(format, a.pid)), Signal: "SIGUSR1"})
		a.expect(t, sigusr1)
	}
	a.expectSilence(t)
}

func TestAPIDFileIsReadAtEachNotification(t *testing.T) {
	t.Parallel()
	before, after := startAs(t, newName()), startAs(t, newName())
	target := config.Target{PIDFile: writeFile(t, fmt.Sprint(before.pid)), Signal: "SIGHUP"}
	mustTell(t, target)
	if err := os.WriteFile(target.PIDFile, []byte(fmt.Sprint(after.pid)), 0o600); err != nil {
		t.Fatal(err)
	}
	mustTell(t, target)
	for _, a := range []*app{before, after} {
		a.expect(t, sighup)
		a.expectSilence(t)
	}
}

func TestAPIDFileOfNobodyIsAnError(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	zombie := startSilent(t, exec.Command("true"))
	awaitEnd(t, zombie.pid)
	for says, name := range map[string]string{
		"no such file":             "/nowhere/app.pid",
		"it is not a regular file": t.TempDir(),
		"not a regular file":       pipe,
		"process 4194305: ":        writeFile(t, "4194305"), // beyond the greatest id that Linux gives
		"the file is stale":        writeFile(t, fmt.Sprint(zombie.pid)),
		"the id of a process":      writeFile(t, canary),
		"shareProcessNamespace":    writeFile(t, "1"),
	} {
		mustFail(t, config.Target{PIDFile: name, Signal: "SIGHUP"}, says)
	}
}

func TestAPIDFileThatHoldsNoApplicationsIDIsRefused(t *testing.T) {
	for _, content := range []string{
		"", "\n12", "0", "-0", "1", "-1", "-4711", fmt.Sprint(os.Getpid()), "12x", "1 2", "0x10", "1_000",
		"12\x00", "4294967298", strings.Repeat("9", 40), strings.Repeat(" ", 31) + "4711", strings.Repeat("0", 32) + "4711",
	} {
		if pid, err := tell.ParsePID([]byte(content)); err == nil {
			t.Errorf("a file with %q gives %d", content, pid)
		}
	}
}

func FuzzPIDFile(f *testing.F) {
	for _, seed := range []string{"4711\n", " +12 ", "1", "-1", "4711\n/data\n", "99999999999", "12\x00"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		pid, err := tell.ParsePID(content)
		if err != nil {
			return
		}
		if pid <= 1 || pid == os.Getpid() {
			t.Fatalf("%q gives %d, which must never be signalled", content, pid)
		}
		line, _, _ := strings.Cut(string(content), "\n")
		if digits := strings.TrimLeft(strings.TrimSpace(line), "+0"); digits != strconv.Itoa(pid) {
			t.Fatalf("%q gives %d", content, pid)
		}
	})
}
