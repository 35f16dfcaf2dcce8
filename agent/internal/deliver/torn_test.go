package deliver_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hanzoai/kms/agent/config"
	"github.com/hanzoai/kms/agent/internal/deliver"
)

// TestMain lets the test binary be the writer that is killed: with KMS_KILL_AT
// it writes newSet, with KMS_KILL_PIDFILE notifies of it too, and ends itself
// with SIGKILL at that step.
func TestMain(m *testing.M) {
	if at := os.Getenv("KMS_KILL_AT"); at != "" {
		writeAndDie(at)
	}
	os.Exit(m.Run())
}

// The two generations of the tests below: a key in both, one that goes, one
// that comes. Every file of a generation holds the same, so that a mix shows.
var (
	oldSet = set("GOES=old", "STAYS=old")
	newSet = set("COMES=new", "STAYS=new")
)

func writeAndDie(at string) {
	last, _ := strconv.Atoi(at)
	steps := 0
	d := deliver.Dir{Path: os.Getenv("KMS_KILL_DIR"), Mode: 0o400}
	d = deliver.WithStep(d, func(string) {
		if steps++; steps == last {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	})
	_, err := deliver.Write(d, newSet)
	if pidFile := os.Getenv("KMS_KILL_PIDFILE"); pidFile != "" {
		target := config.Target{PIDFile: pidFile, Signal: "SIGHUP", Timeout: "10s"}
		_, err = deliver.NewNotifier(d, target).Tell(context.Background(), target)
	}
	fmt.Println(err)
	os.Exit(0)
}

func TestAWriterKilledAtAnyStepLeavesNoTornSet(t *testing.T) {
	for step := 1; ; step++ {
		d := place(t)
		// Two older generations, so that one of them is to be removed.
		mustWrite(t, d, set("GOES=older"))
		mustWrite(t, d, oldSet)
		if !killed(t, d.Path, step) {
			if step < 10 {
				t.Fatalf("the writer has %d steps only", step-1)
			}
			return
		}
		generation := wholeGeneration(t, d.Path, step)
		// A plain open of a key of both generations works, whatever happened.
		if data, err := os.ReadFile(d.Path + "/STAYS"); err != nil || string(data) != generation {
			t.Errorf("killed at step %d: STAYS holds %q, %v, want %q", step, data, err, generation)
		}
		// The next writer finishes the work and leaves nothing behind.
		written := mustWrite(t, d, newSet)
		want := []string{written.Generation, written.Generation + "/COMES", written.Generation + "/STAYS"}
		want = append([]string{"..2", "..2/GOES", "..2/STAYS"}, want...)
		want = append(want, "..data -> "+written.Generation, "..notified -> ..1", "COMES -> ..data/COMES", "STAYS -> ..data/STAYS")
		if diff := cmp.Diff(want, layout(t, d.Path)); diff != "" {
			t.Errorf("killed at step %d, then written: %s", step, diff)
		}
	}
}

func TestAFirstWriterKilledAtAnyStepIsFollowedByAFirstGeneration(t *testing.T) {
	for step := 1; ; step++ {
		d := place(t)
		if !killed(t, d.Path, step) {
			return
		}
		written := mustWrite(t, d, newSet)
		if diff := cmp.Diff([]string{"COMES=new", "STAYS=new"}, visible(t, d.Path)); diff != "" {
			t.Errorf("killed at step %d: %s", step, diff)
		}
		if notified, _ := os.Readlink(d.Path + "/..notified"); notified != written.Generation {
			t.Errorf("killed at step %d: notified of %q, want %q: the first signals nobody", step, notified, written.Generation)
		}
	}
}

// killed runs a writer of newSet that dies at the step; false if it had fewer.
func killed(t *testing.T, dir string, step int, more ...string) bool {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprint("KMS_KILL_AT=", step), "KMS_KILL_DIR="+dir)
	cmd.Env = append(cmd.Env, more...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		return true
	}
	if err != nil || string(out) != "<nil>\n" {
		t.Fatalf("the writer ended with %v, %s", err, out)
	}
	return false
}

// wholeGeneration resolves ..data once, as a careful reader does, and checks
// that what it finds is one generation or the other.
func wholeGeneration(t *testing.T, dir string, step int) string {
	t.Helper()
	generation, err := filepath.EvalSymlinks(dir + "/..data")
	if err != nil {
		t.Fatalf("killed at step %d: %v", step, err)
	}
	got := visible(t, generation)
	for name, want := range map[string][]string{"old": {"GOES=old", "STAYS=old"}, "new": {"COMES=new", "STAYS=new"}} {
		if cmp.Equal(want, got) {
			return name
		}
	}
	t.Fatalf("killed at step %d: a reader finds %q", step, got)
	return ""
}

func TestAReaderBesideManySwapsNeverSeesAMixOrAGap(t *testing.T) {
	const swaps = 500
	d := place(t)
	files := func(n int) []deliver.File { return set(fmt.Sprint("A=", n), fmt.Sprint("B=", n)) }
	mustWrite(t, d, files(0))
	var rounds atomic.Int64 // of the reader
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			readOnce(t, d.Path)
			rounds.Add(1)
		}
	}()
	for n := 1; n <= swaps; n++ {
		// A generation stays until the second swap after it. The reader gets to
		// the end of a round between swaps, as it does when they are a second
		// or more apart.
		for seen := rounds.Load(); rounds.Load() < seen+1; {
			if t.Failed() {
				break
			}
		}
		mustWrite(t, d, files(n))
	}
	close(stop)
	<-done
	if got := rounds.Load(); got < swaps {
		t.Errorf("the reader read %d times", got)
	}
}

// readOnce reads as applications do: by plain opens, and from one generation.
func readOnce(t *testing.T, dir string) {
	if _, err := os.ReadFile(dir + "/A"); err != nil {
		t.Errorf("a plain open: %v", err)
	}
	generation, err := os.OpenRoot(dir + "/..data")
	if err != nil {
		t.Errorf("open ..data: %v", err)
		return
	}
	defer generation.Close()
	a, errA := generation.ReadFile("A")
	b, errB := generation.ReadFile("B")
	if errA != nil || errB != nil || string(a) != string(b) || len(a) == 0 {
		t.Errorf("one generation holds A=%q (%v) and B=%q (%v)", a, errA, b, errB)
	}
}
