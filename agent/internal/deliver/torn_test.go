package deliver_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hanzoai/kms/agent/config"
	"github.com/hanzoai/kms/agent/internal/deliver"
)

// TestMain lets the test binary be a writer in a process of its own: of the
// job in KMS_WRITE, which is killed at the step KMS_KILL_AT if that is given,
// and notifies the process of KMS_KILL_PIDFILE if that is.
func TestMain(m *testing.M) {
	if os.Getenv("KMS_TEST_APP") != "" {
		runApp()
		os.Exit(0)
	}
	if text := os.Getenv("KMS_WRITE"); text != "" {
		work(text)
	}
	os.Exit(m.Run())
}

type job struct {
	Dir   deliver.Dir
	Files []deliver.File
	Umask int
}

func work(text string) {
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		panic(err)
	}
	syscall.Umask(j.Umask)
	last, _ := strconv.Atoi(os.Getenv("KMS_KILL_AT"))
	steps := 0
	d := deliver.WithStep(j.Dir, func(string) {
		if steps++; steps == last {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	})
	_, err := deliver.Write(d, j.Files)
	if pidFile := os.Getenv("KMS_KILL_PIDFILE"); pidFile != "" {
		target := config.Target{PIDFile: pidFile, Signal: "SIGHUP", Timeout: "10s"}
		_, err = deliver.NewNotifier(d, target).Tell(context.Background(), target)
	}
	fmt.Print(deliver.ReasonOf(err), " ", err)
	os.Exit(0)
}

func (j job) command(binary string) *exec.Cmd {
	text, _ := json.Marshal(j)
	cmd := exec.Command(binary)
	cmd.Env = append(os.Environ(), "KMS_WRITE="+string(text), "GORACE=atexit_sleep_ms=0")
	return cmd
}

const succeeded = string(deliver.Failed) + " <nil>"

// killed runs a writer of newSet that dies at the step; false if it had fewer.
func killed(t *testing.T, dir string, step int, more ...string) bool {
	t.Helper()
	return killedWriting(t, deliver.Dir{Path: dir, Mode: 0o400}, newSet, step, more...)
}

func killedWriting(t *testing.T, d deliver.Dir, files []deliver.File, step int, more ...string) bool {
	t.Helper()
	cmd := job{Dir: d, Files: files}.command(os.Args[0])
	cmd.Env = append(append(cmd.Env, fmt.Sprint("KMS_KILL_AT=", step)), more...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGKILL {
		return true
	}
	if err != nil || string(out) != succeeded {
		t.Fatalf("the writer ended with %v, %s", err, out)
	}
	return false
}

// stopped writes within this process and ends at the step, as a kill does:
// nothing is done after it. false if it had fewer.
func stopped(t *testing.T, d deliver.Dir, files []deliver.File, step int) (stopped bool) {
	t.Helper()
	steps := 0
	d = deliver.WithStep(d, func(string) {
		if steps++; steps == step {
			panic(t)
		}
	})
	defer func() {
		if reason := recover(); reason != nil {
			if stopped = reason == any(t); !stopped {
				panic(reason)
			}
		}
	}()
	mustWrite(t, d, files)
	return false
}

// The generations of the tests below: a key that stays, one that goes, one that
// comes, and one that is kept. Every other file holds the name of its
// generation, so that a mix shows.
var (
	olderSet = set("GOES=older", "KEPT=kept", "STAYS=older")
	oldSet   = set("GOES=old", "KEPT=kept", "STAYS=old")
	newSet   = append(set("COMES=new", "STAYS=new"), deliver.File{Name: "KEPT", Keep: true})
	newerSet = set("COMES=newer", "KEPT=kept", "STAYS=newer")
)

var contents = map[string][]string{
	"older": {"GOES=older", "KEPT=kept", "STAYS=older"},
	"old":   {"GOES=old", "KEPT=kept", "STAYS=old"},
	"new":   {"COMES=new", "KEPT=kept", "STAYS=new"},
	"newer": {"COMES=newer", "KEPT=kept", "STAYS=newer"},
}

// ways are all ways to write a directory.
func ways() map[string]deliver.Dir {
	return map[string]deliver.Dir{
		"links":                 {Mode: 0o400},
		"links with previous":   {Mode: 0o400, Previous: true},
		"renames":               {Mode: 0o400, Rename: true},
		"renames with previous": {Mode: 0o400, Rename: true, Previous: true},
	}
}

// in is d in a new directory that holds older and old.
func in(t *testing.T, d deliver.Dir) deliver.Dir {
	t.Helper()
	d.Path = memoryDir(t)
	mustWrite(t, d, olderSet)
	mustWrite(t, d, oldSet)
	return d
}

// generationAt is the generation that a link leads to, resolved once as a
// careful reader does. It has to be a whole one.
func generationAt(t *testing.T, link string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(link)
	if err != nil {
		t.Errorf("a gap: %v", err)
		return ""
	}
	got := visible(t, dir)
	for name, want := range contents {
		if slices.Equal(want, got) {
			return name
		}
	}
	t.Errorf("%s: a reader finds %q", link, got)
	return ""
}

// expectWhole checks what readers find after a write from one generation to
// the other ended somewhere.
func expectWhole(t *testing.T, d deliver.Dir, from, to string) {
	t.Helper()
	current := generationAt(t, d.Path+"/..data")
	if current != from && current != to {
		t.Errorf("..data leads to %s, want %s or %s", current, from, to)
	}
	for name, want := range map[string][]string{"STAYS": {from, to}, "KEPT": {"kept"}} {
		data, err := os.ReadFile(d.Path + "/" + name)
		if err != nil || !slices.Contains(want, string(data)) || !d.Rename && name == "STAYS" && string(data) != current {
			t.Errorf("%s holds %q, %v, want one of %q", name, data, err, want)
		}
		if info, err := os.Lstat(d.Path + "/" + name); err != nil || d.Rename && !info.Mode().IsRegular() {
			t.Errorf("%s is no regular file: %v", name, err)
		}
	}
	if !d.Previous {
		return
	}
	// Whoever takes both never misses the one that is being replaced.
	if previous := generationAt(t, d.Path+"/previous"); current != from && previous != from {
		t.Errorf("..data leads to %s and previous to %s, want %s", current, previous, from)
	}
}

// expectLayout checks that nothing but these generations lies there, given as
// NAME=content; the last is the current one.
func expectLayout(t *testing.T, d deliver.Dir, generations ...string) {
	t.Helper()
	want := []string{"..notified -> ..1"}
	var current string
	for i, word := range generations {
		name, content, _ := strings.Cut(word, "=")
		want = append(want, name)
		for _, file := range contents[content] {
			key, _, _ := strings.Cut(file, "=")
			want = append(want, name+"/"+key)
			if i < len(generations)-1 {
				continue
			}
			if d.Rename {
				want = append(want, key)
			} else {
				want = append(want, key+" -> ..data/"+key)
			}
		}
		if d.Previous && i == len(generations)-2 {
			want = append(want, "previous -> "+name)
		}
		current = content
	}
	last, _, _ := strings.Cut(generations[len(generations)-1], "=")
	want = append(want, "..data -> "+last)
	slices.Sort(want)
	if diff := cmp.Diff(want, layout(t, d.Path)); diff != "" {
		t.Error(diff)
	}
	expectWhole(t, d, current, current)
	info, err := os.Stat(d.Path + "/STAYS")
	file, _ := os.Stat(d.Path + "/..data/STAYS")
	if err != nil || !os.SameFile(info, file) {
		t.Error("STAYS is another file than that of the generation")
	}
}

func TestAWriterKilledAtAnyStepLeavesNoTornSetAndTheNextFinishes(t *testing.T) {
	for name, way := range ways() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for step := 1; ; step++ {
				d := in(t, way)
				if !killedWriting(t, d, newSet, step) {
					if step < 17 {
						t.Errorf("the writer has %d steps only", step-1)
					}
					break
				}
				expectWhole(t, d, "old", "new")
				mustWrite(t, d, newSet)
				expectLayout(t, d, "..2=old", "..3=new")
				if t.Failed() {
					t.Fatalf("killed at step %d", step)
				}
			}
		})
	}
}

func TestAFirstWriterKilledAtAnyStepIsFollowedByAFirstGeneration(t *testing.T) {
	for step := 1; ; step++ {
		d := place(t)
		if !killedWriting(t, d, set("A=1", "B=1"), step) {
			return
		}
		written := mustWrite(t, d, set("A=1", "B=1"))
		if diff := cmp.Diff([]string{"A=1", "B=1"}, visible(t, d.Path)); diff != "" {
			t.Errorf("killed at step %d: %s", step, diff)
		}
		if notified, _ := os.Readlink(d.Path + "/..notified"); notified != written.Generation {
			t.Errorf("killed at step %d: notified of %q, want %q: the first signals nobody", step, notified, written.Generation)
		}
	}
}

// The first writer has swapped when it is stopped, so files in place are of the
// generation before the one that the second writer finds.
func TestTwoWritersInARowThatAreStoppedAnywhereLeaveNothingBehind(t *testing.T) {
	for name, way := range ways() {
		if !way.Rename {
			continue // a link is into whatever generation is current
		}
		t.Run(name, func(t *testing.T) {
			for first, again := 1, true; again; first++ {
				for second := 1; ; second++ {
					d := in(t, way)
					again = stopped(t, d, newSet, first)
					if generationAt(t, d.Path+"/..data") == "old" {
						break
					}
					secondStopped := stopped(t, d, newerSet, second)
					expectOpens(t, d)
					mustWrite(t, d, newerSet)
					expectLayout(t, d, "..3=new", "..4=newer")
					if t.Failed() {
						t.Fatalf("stopped at step %d and then at step %d", first, second)
					}
					if !secondStopped {
						break
					}
				}
			}
		})
	}
}

func TestAnotherWayOfWritingLeavesNoTraceOfTheOneBeforeAndNoGap(t *testing.T) {
	for fromName, from := range ways() {
		for toName, to := range ways() {
			t.Run(fromName+" to "+toName, func(t *testing.T) {
				for step, again := 1, true; again; step++ {
					d := in(t, from)
					d.Rename, d.Previous = to.Rename, to.Previous
					again = stopped(t, d, newSet, step)
					expectOpens(t, d)
					mustWrite(t, d, newSet)
					expectLayout(t, d, "..2=old", "..3=new")
					d.Rename, d.Previous = from.Rename, from.Previous // and back, with the same set
					stopped(t, d, newSet, step)
					expectOpens(t, d)
					mustWrite(t, d, newSet)
					expectLayout(t, d, "..2=old", "..3=new")
					if t.Failed() {
						t.Fatalf("stopped at step %d", step)
					}
				}
			})
		}
	}
}

// expectOpens checks that a plain open of a key that stays works, and that links
// to generations lead to whole ones.
func expectOpens(t *testing.T, d deliver.Dir) {
	t.Helper()
	generationAt(t, d.Path+"/..data")
	data, err := os.ReadFile(d.Path + "/STAYS")
	if err != nil || !slices.Contains([]string{"old", "new", "newer"}, string(data)) {
		t.Errorf("STAYS holds %q, %v", data, err)
	}
	if _, err := os.Lstat(d.Path + "/previous"); err == nil {
		generationAt(t, d.Path+"/previous")
	}
}
