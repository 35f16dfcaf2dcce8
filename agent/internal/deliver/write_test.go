package deliver_test

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hanzoai/kms/agent/internal/deliver"
)

// memoryDir is a directory on a tmpfs.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "kms-agent-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func place(t *testing.T) deliver.Dir { return deliver.Dir{Path: memoryDir(t), Mode: 0o400} }

// set makes files of NAME=data words.
func set(words ...string) []deliver.File {
	files := make([]deliver.File, len(words))
	for i, word := range words {
		name, data, _ := strings.Cut(word, "=")
		files[i] = deliver.File{Name: name, Data: []byte(data)}
	}
	return files
}

func mustWrite(t *testing.T, d deliver.Dir, files []deliver.File) deliver.Written {
	t.Helper()
	written, err := deliver.Write(d, files)
	if err != nil {
		t.Fatal(err)
	}
	return written
}

// visible is what an application finds in the directory: NAME=data words.
func visible(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, e := range entries {
		info, err := os.Stat(filepath.Join(dir, e.Name()))
		if strings.HasPrefix(e.Name(), "..") || err == nil && info.IsDir() { // the link to the generation before
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Errorf("open %s: %v", e.Name(), err)
		}
		words = append(words, e.Name()+"="+string(data))
	}
	return words
}

// layout is all that lies in the directory, links with their targets.
func layout(t *testing.T, dir string) []string {
	t.Helper()
	var lines []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		line := strings.TrimPrefix(path, dir+"/")
		if e.Type() == fs.ModeSymlink {
			target, _ := os.Readlink(path)
			line += " -> " + target
		}
		lines = append(lines, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(lines)
	return lines
}

func TestASetIsWrittenAsOneGenerationAndTheOneBeforeStays(t *testing.T) {
	d := place(t)
	mustWrite(t, d, set("A=1", "B=1"))
	mustWrite(t, d, set("A=2", "C=2"))
	written := mustWrite(t, d, set("A=3", "C=3"))
	if diff := cmp.Diff(deliver.Written{Generation: "..3", Files: 2, Changed: true}, written); diff != "" {
		t.Error(diff)
	}
	want := []string{
		"..2", "..2/A", "..2/C", "..3", "..3/A", "..3/C",
		"..data -> ..3", "..notified -> ..1", "A -> ..data/A", "C -> ..data/C",
	}
	if diff := cmp.Diff(want, layout(t, d.Path)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"A=3", "C=3"}, visible(t, d.Path)); diff != "" {
		t.Error(diff)
	}
}

func TestASetThatIsThereAlreadyIsNotTouched(t *testing.T) {
	d := place(t)
	first := mustWrite(t, d, set("A=1", "B="))
	before := states(t, d.Path)
	again := mustWrite(t, deliver.WithStep(d, func(what string) { t.Errorf("did %s", what) }), set("A=1", "B="))
	if again.Changed || again.Generation != first.Generation {
		t.Errorf("second Write = %+v, want %s unchanged", again, first.Generation)
	}
	if diff := cmp.Diff(before, states(t, d.Path)); diff != "" {
		t.Error(diff)
	}
}

// states is inode and change time of everything in the directory.
func states(t *testing.T, dir string) map[string]string {
	t.Helper()
	states := map[string]string{}
	filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		info, statErr := os.Lstat(path)
		if err != nil || statErr != nil {
			t.Fatal(err, statErr)
		}
		stat := info.Sys().(*syscall.Stat_t)
		states[path] = fmt.Sprint(stat.Ino, info.ModTime(), stat.Ctim)
		return nil
	})
	return states
}

func TestWhatWasChangedOnDiskIsPutRight(t *testing.T) {
	tests := []struct {
		name   string
		damage func(dir string) error
	}{
		{"other bytes", func(dir string) error {
			os.Remove(dir + "/..1/A")
			return os.WriteFile(dir+"/..1/A", []byte("x"), 0o400)
		}},
		{"another mode", func(dir string) error { return os.Chmod(dir+"/..1/A", 0o444) }},
		{"a file gone", func(dir string) error { return os.Remove(dir + "/..1/B") }},
		{"a file more", func(dir string) error { return os.WriteFile(dir+"/..1/C", nil, 0o400) }},
		{"a pipe in place of a file", func(dir string) error {
			os.Remove(dir + "/..1/A")
			return syscall.Mkfifo(dir+"/..1/A", 0o400)
		}},
		{"a directory for a file", func(dir string) error {
			os.Remove(dir + "/..1/A")
			return os.Mkdir(dir+"/..1/A", 0o700)
		}},
		{"another mode of the generation", func(dir string) error { return os.Chmod(dir+"/..1", 0o755) }},
		{"a link gone", func(dir string) error { return os.Remove(dir + "/A") }},
		{"the generation gone", func(dir string) error { return os.RemoveAll(dir + "/..1") }},
		{"the data link gone", func(dir string) error { return os.Remove(dir + "/..data") }},
		{"the directory gone", os.RemoveAll},
	}
	for _, test := range tests {
		for name, way := range ways() {
			t.Run(test.name+", "+name, func(t *testing.T) {
				d := way
				d.Path = memoryDir(t)
				mustWrite(t, d, set("A=1", "B=2"))
				if err := test.damage(d.Path); err != nil {
					t.Fatal(err)
				}
				mustWrite(t, d, set("A=1", "B=2"))
				want := []string{"A=1", "B=2"}
				if diff := cmp.Diff(want, visible(t, d.Path)); diff != "" {
					t.Error(diff)
				}
				if diff := cmp.Diff(want, visible(t, d.Path+"/..data")); diff != "" {
					t.Error(diff)
				}
				if info, err := os.Stat(d.Path + "/..data"); err != nil || info.Mode().Perm() != 0o700 {
					t.Errorf("the generation has %v, %v", info.Mode(), err)
				}
			})
		}
	}
}

func TestADirectoryOnDiskIsRefusedUnlessAllowed(t *testing.T) {
	d := deliver.Dir{Path: "/proc/self", Mode: 0o400}
	if err := d.Check(); deliver.ReasonOf(err) != deliver.BadConfig || !strings.Contains(err.Error(), "not on a tmpfs") {
		t.Errorf("Check: %v, want %s", err, deliver.BadConfig)
	}
	d = deliver.Dir{Path: t.TempDir(), Mode: 0o400, AllowDisk: true}
	mustWrite(t, d, set("A=1"))
	d = deliver.Dir{Path: filepath.Join(memoryDir(t), "missing", "below"), Mode: 0o400}
	if err := d.Check(); deliver.ReasonOf(err) != deliver.BadConfig {
		t.Errorf("Check: %v, want %s", err, deliver.BadConfig)
	}
}

func TestEveryReasonHasItsExitCode(t *testing.T) {
	want := map[deliver.Reason]int{
		deliver.BadConfig: 2, deliver.AuthFailed: 3, deliver.Unreachable: 4, deliver.Forbidden: 5,
		deliver.NotFound: 6, deliver.BadTemplate: 7, deliver.NoSpace: 8, deliver.Failed: 1,
	}
	for reason := range maps.Keys(want) {
		if got := reason.ExitCode(); got != want[reason] {
			t.Errorf("%s exits with %d, want %d", reason, got, want[reason])
		}
	}
}

func TestASetOfNoFileLeavesNoValueBehind(t *testing.T) {
	for name, way := range ways() {
		t.Run(name, func(t *testing.T) {
			for step, again := 1, true; again; step++ {
				d := in(t, way)
				again = stopped(t, d, nil, step)
				mustWrite(t, d, nil)
				if diff := cmp.Diff([]string{"..3", "..data -> ..3", "..notified -> ..1"}, layout(t, d.Path)); diff != "" {
					t.Fatalf("stopped at step %d: %s", step, diff)
				}
			}
		})
	}
}
