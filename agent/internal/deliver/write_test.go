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
		if strings.HasPrefix(e.Name(), "..") {
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
	if diff := cmp.Diff(deliver.Written{Generation: "..3", Changed: true}, written); diff != "" {
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
		{"a link gone", func(dir string) error { return os.Remove(dir + "/A") }},
		{"the generation gone", func(dir string) error { return os.RemoveAll(dir + "/..1") }},
		{"the data link gone", func(dir string) error { return os.Remove(dir + "/..data") }},
		{"the directory gone", os.RemoveAll},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := place(t)
			mustWrite(t, d, set("A=1", "B=2"))
			if err := test.damage(d.Path); err != nil {
				t.Fatal(err)
			}
			mustWrite(t, d, set("A=1", "B=2"))
			if diff := cmp.Diff([]string{"A=1", "B=2"}, visible(t, d.Path)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhatIsNotTheAgentsIsNeitherReplacedNorFollowed(t *testing.T) {
	outside := filepath.Join(memoryDir(t), "precious")
	if err := os.WriteFile(outside, []byte("keep"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		plant func(dir string) error
	}{
		{"a file of the key's name", func(dir string) error { return os.WriteFile(dir+"/A", []byte("keep"), 0o600) }},
		{"a directory of the key's name", func(dir string) error { return os.Mkdir(dir+"/A", 0o700) }},
		{"a link that leads out", func(dir string) error { return os.Symlink(outside, dir+"/A") }},
		{"a volume of Kubernetes", func(dir string) error { return os.Symlink("..2026_01_02_03_04_05.6", dir+"/..data") }},
		{"a set that leads out", func(dir string) error { return os.Symlink(filepath.Dir(outside), dir+"/..data") }},
		{"a directory for the data link", func(dir string) error { return os.Mkdir(dir+"/..data", 0o700) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := place(t)
			if err := test.plant(d.Path); err != nil {
				t.Fatal(err)
			}
			before := layout(t, d.Path)
			if _, err := deliver.Write(d, set("A=1")); deliver.ReasonOf(err) != deliver.BadConfig {
				t.Errorf("Write: %v, want %s", err, deliver.BadConfig)
			}
			if diff := cmp.Diff(before, layout(t, d.Path)); diff != "" {
				t.Error(diff)
			}
			if data, _ := os.ReadFile(outside); string(data) != "keep" {
				t.Errorf("the file outside holds %q", data)
			}
		})
	}
	d := place(t)
	if err := os.WriteFile(d.Path+"/notes", []byte("keep"), 0o600); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, d, set("A=1"))
	mustWrite(t, d, set("B=1"))
	if diff := cmp.Diff([]string{"B=1", "notes=keep"}, visible(t, d.Path)); diff != "" {
		t.Error(diff)
	}
}

func TestFilesAndDirectoriesHaveTheRightsAskedFor(t *testing.T) {
	for mode, wantDir := range map[fs.FileMode]fs.FileMode{0o400: 0o700, 0o440: 0o750, 0o444: 0o755, 0o600: 0o700} {
		old := syscall.Umask(0o077)
		d := place(t)
		d.Mode, d.GID = mode, new(os.Getgid())
		if os.Getuid() == 0 {
			d.GID = new(4711)
		}
		mustWrite(t, d, set("A=1"))
		syscall.Umask(old)
		file, _ := os.Stat(d.Path + "/A")
		dir, _ := os.Stat(d.Path + "/..1")
		if file.Mode().Perm() != mode || dir.Mode().Perm() != wantDir {
			t.Errorf("mode %v: file %v, directory %v, want %v", mode, file.Mode(), dir.Mode(), wantDir)
		}
		for _, info := range []fs.FileInfo{file, dir} {
			if got := int(info.Sys().(*syscall.Stat_t).Gid); got != *d.GID {
				t.Errorf("%s has group %d, want %d", info.Name(), got, *d.GID)
			}
		}
		if again := mustWrite(t, d, set("A=1")); again.Changed {
			t.Errorf("mode %v: the same set was written again", mode)
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

func TestAFullTmpfsKeepsTheLastGoodSet(t *testing.T) {
	if os.Getuid() != 0 {
		t.Log("mounting a small tmpfs needs root: only /dev/shm is tested")
		return
	}
	d := place(t)
	if err := syscall.Mount("tmpfs", d.Path, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Unmount(d.Path, syscall.MNT_DETACH) })
	mustWrite(t, d, set("A=1", "B=1"))
	before := layout(t, d.Path)
	_, err := deliver.Write(d, set("A=2", "B="+strings.Repeat("x", 128<<10)))
	if deliver.ReasonOf(err) != deliver.NoSpace {
		t.Errorf("Write: %v, want %s", err, deliver.NoSpace)
	}
	if diff := cmp.Diff(before, layout(t, d.Path)); diff != "" {
		t.Error(diff)
	}
	mustWrite(t, d, set("A=3", "B=3")) // and there is room again
	if diff := cmp.Diff([]string{"A=3", "B=3"}, visible(t, d.Path)); diff != "" {
		t.Error(diff)
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
