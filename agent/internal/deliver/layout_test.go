package deliver_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hanzoai/kms/agent/internal/deliver"
)

func TestWhatIsNotTheAgentsIsNeitherReplacedNorFollowed(t *testing.T) {
	outside := filepath.Join(memoryDir(t), "precious")
	if err := os.WriteFile(outside, []byte("keep"), 0o400); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		plant func(dir string) error
	}{
		{"a file of the key's name", func(dir string) error { return os.WriteFile(dir+"/A", []byte("keep"), 0o600) }},
		{"a directory of the key's name", func(dir string) error { return os.Mkdir(dir+"/A", 0o700) }},
		{"a pipe of the key's name", func(dir string) error { return syscall.Mkfifo(dir+"/A", 0o600) }},
		{"a socket of the key's name", func(dir string) error { return syscall.Mknod(dir+"/A", syscall.S_IFSOCK|0o600, 0) }},
		{"a link that leads out", func(dir string) error { return os.Symlink(outside, dir+"/A") }},
		{"a link that leads nowhere", func(dir string) error { return os.Symlink("nowhere", dir+"/A") }},
		{"a hard link to a file outside", func(dir string) error { return os.Link(outside, dir+"/A") }},
		{"a volume of Kubernetes", func(dir string) error { return os.Symlink("..2026_01_02_03_04_05.6", dir+"/..data") }},
		{"a set that leads out", func(dir string) error { return os.Symlink(filepath.Dir(outside), dir+"/..data") }},
		{"a directory for the data link", func(dir string) error { return os.Mkdir(dir+"/..data", 0o700) }},
		{"a file for the link to the generation before", func(dir string) error { return os.WriteFile(dir+"/previous", []byte("keep"), 0o600) }},
	}
	for _, test := range tests {
		for name, way := range ways() {
			if strings.Contains(test.name, "before") && !way.Previous {
				continue
			}
			t.Run(test.name+", "+name, func(t *testing.T) {
				d := way
				d.Path = memoryDir(t)
				if err := test.plant(d.Path); err != nil {
					t.Fatal(err)
				}
				before := states(t, d.Path)
				if _, err := deliver.Write(d, set("A=1")); deliver.ReasonOf(err) != deliver.BadConfig {
					t.Errorf("Write: %v, want %s", err, deliver.BadConfig)
				}
				if diff := cmp.Diff(before, states(t, d.Path)); diff != "" {
					t.Error(diff)
				}
				if data, _ := os.ReadFile(outside); string(data) != "keep" {
					t.Errorf("the file outside holds %q", data)
				}
			})
		}
	}
}

func TestWhatIsNotOfTheSetStaysBesideIt(t *testing.T) {
	for name, way := range ways() {
		t.Run(name, func(t *testing.T) {
			d := in(t, way)
			if err := os.WriteFile(d.Path+"/notes", []byte("keep"), 0o400); err != nil {
				t.Fatal(err)
			}
			// A link of an application to a file of ours, under another name.
			if err := os.Link(d.Path+"/..data/STAYS", d.Path+"/MINE"); err != nil {
				t.Fatal(err)
			}
			for _, files := range [][]deliver.File{newSet, newSet, newerSet, set("Z=1")} {
				mustWrite(t, d, files)
			}
			if diff := cmp.Diff([]string{"MINE=old", "Z=1", "notes=keep"}, visible(t, d.Path)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAKeyMayBeCalledPreviousWhereThatIsNoLink(t *testing.T) {
	for _, rename := range []bool{false, true} {
		d := place(t)
		d.Rename = rename
		d.Previous = true
		mustWrite(t, d, set("A=1"))
		mustWrite(t, d, set("A=2"))
		_, err := deliver.Write(d, set("A=3", "previous=3"))
		if deliver.ReasonOf(err) != deliver.BadConfig || !strings.Contains(err.Error(), "set previous to false") {
			t.Errorf("Write: %v", err)
		}
		d.Previous = false
		for range 2 {
			mustWrite(t, d, set("A=3", "previous=3"))
			if diff := cmp.Diff([]string{"A=3", "previous=3"}, visible(t, d.Path)); diff != "" {
				t.Error(diff)
			}
		}
	}
}

func TestWhatAWriterLeftBehindIsGoneAfterTheNext(t *testing.T) {
	leftovers := []string{"..data_tmp", "..file_tmp", "..previous_tmp", "..state_tmp", "..9", "..told.0123456789ab_tmp", "..told.0123456789ab", "..notified_tmp"}
	kinds := map[string]func(name string) error{
		"links": func(name string) error { return os.Symlink("..1", name) },
		"files": func(name string) error { return os.WriteFile(name, []byte("left"), 0o400) },
		"hard links": func(name string) error {
			return os.Link(filepath.Dir(name)+"/..2/STAYS", name)
		},
		"directories": func(name string) error { return os.MkdirAll(name+"/left", 0o700) },
	}
	for kind, leave := range kinds {
		for name, way := range ways() {
			t.Run(kind+", "+name, func(t *testing.T) {
				d := in(t, way)
				for _, leftover := range leftovers {
					if strings.Contains(leftover, "told") && kind != "links" || leftover == "..notified_tmp" && kind == "directories" {
						continue // nothing of the agent's makes these
					}
					if err := leave(d.Path + "/" + leftover); err != nil {
						t.Fatal(err)
					}
				}
				mustWrite(t, d, newSet)
				app := startApp(t)
				mustTell(t, d, app.target(), true)
				if err := os.Remove(d.Path + "/..notified"); err != nil {
					t.Fatal(err)
				}
				if err := os.Symlink("..1", d.Path+"/..notified"); err != nil {
					t.Fatal(err)
				}
				expectLayout(t, d, "..2=old", "..3=new")
			})
		}
	}
}

func TestNamesMayBeAsLongAsTheSystemAllows(t *testing.T) {
	long := strings.Repeat("k", 255)
	for name, way := range ways() {
		t.Run(name, func(t *testing.T) {
			d := way
			d.Path = memoryDir(t)
			for n := range 3 {
				mustWrite(t, d, set(fmt.Sprint(long, "=", n), "a\nb=1"))
			}
			if data, err := os.ReadFile(d.Path + "/" + long); string(data) != "2" {
				t.Errorf("the file of a long name holds %q, %v", data, err)
			}
		})
	}
}

func TestAKeyThatIsNoFileNameIsRefusedByName(t *testing.T) {
	for _, key := range []string{"", ".", "..", "..x", "..data", "..1", "a/b", "/a", "../a", "a\x00", strings.Repeat("k", 256), strings.Repeat("k", 4096)} {
		files, err := deliver.Render(outputs(t, `{}`), deliver.Set{Secrets: []deliver.Secret{{Name: key, Value: "canary"}}}, 1<<20)
		if deliver.ReasonOf(err) != deliver.BadConfig || !strings.Contains(err.Error(), fmt.Sprintf("%q", key)) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%.20q: %v, %v", key, files, err)
		}
	}
}

func TestADirectoryMayBeALinkAndMayBeReplaced(t *testing.T) {
	for name, way := range ways() {
		t.Run(name, func(t *testing.T) {
			first, second := memoryDir(t), memoryDir(t)
			d := way
			d.Path = filepath.Join(t.TempDir(), "secrets")
			if err := os.Symlink(first, d.Path); err != nil {
				t.Fatal(err)
			}
			d.Last = mustWrite(t, d, set("A=1")).Generation
			os.Remove(d.Path)
			if err := os.Symlink(second, d.Path); err != nil {
				t.Fatal(err)
			}
			mustWrite(t, d, set("A=1"))
			for _, dir := range []string{first, second} {
				if diff := cmp.Diff([]string{"A=1"}, visible(t, dir)); diff != "" {
					t.Error(diff)
				}
			}
			if current, _ := os.Readlink(second + "/..data"); current != "..2" {
				t.Errorf("the generation is %s, want ..2: a name must not come back", current)
			}
		})
	}
}

// rights are kind, permission and group of a file, as "drwxr-x--- 0".
func rights(t *testing.T, path string) string {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(info.Mode(), " ", info.Sys().(*syscall.Stat_t).Gid)
}

func TestFilesAndDirectoriesHaveTheRightsAskedFor(t *testing.T) {
	if os.Getuid() != 0 {
		t.Log("giving files to other groups needs root")
		return
	}
	tests := []struct {
		name      string
		mode      fs.FileMode
		gid       *int
		fileMode  fs.FileMode // of A alone; B has none of its own
		fileGID   *int
		wantA     string
		wantB     string
		wantEnter string // the rights of the generation
	}{
		{"the owner's", 0o400, nil, 0, nil, "-r-------- 0", "-r-------- 0", "drwx------ 0"},
		{"the group's", 0o440, new(4711), 0, nil, "-r--r----- 4711", "-r--r----- 4711", "drwxr-x--- 4711"},
		{"everybody's", 0o444, new(4711), 0, nil, "-r--r--r-- 4711", "-r--r--r-- 4711", "drwxr-xr-x 4711"},
		{"writable", 0o600, nil, 0, nil, "-rw------- 0", "-rw------- 0", "drwx------ 0"},
		{"one for everybody", 0o400, new(4711), 0o444, nil, "-r--r--r-- 4711", "-r-------- 4711", "drwxr-xr-x 4711"},
		{"one for the group", 0o400, new(4711), 0o440, nil, "-r--r----- 4711", "-r-------- 4711", "drwxr-x--- 4711"},
		{"one for another group", 0o440, new(4711), 0, new(4712), "-r--r----- 4712", "-r--r----- 4711", "drwxr-x--x 4711"},
		{"one for a group", 0o400, nil, 0o440, new(4712), "-r--r----- 4712", "-r-------- 0", "drwxr-x--x 0"},
		{"one of another group, the owner's", 0o400, new(4711), 0, new(4712), "-r-------- 4712", "-r-------- 4711", "drwx------ 4711"},
	}
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	for _, test := range tests {
		for name, way := range ways() {
			t.Run(test.name+", "+name, func(t *testing.T) {
				d := way
				d.Path, d.Mode, d.GID = memoryDir(t), test.mode, test.gid
				files := set("A=1", "B=1")
				files[0].Mode, files[0].GID = test.fileMode, test.fileGID
				mustWrite(t, d, files)
				got := []string{rights(t, d.Path+"/..1/A"), rights(t, d.Path+"/..1/B"), rights(t, d.Path+"/..1")}
				if diff := cmp.Diff([]string{test.wantA, test.wantB, test.wantEnter}, got); diff != "" {
					t.Error(diff)
				}
				if again := mustWrite(t, d, files); again.Changed {
					t.Error("the same set was written again")
				}
				// Where each file has a group of its own, another one of the set
				// shows in the directory alone.
				for i := range files {
					info, _ := os.Stat(d.Path + "/" + files[i].Name)
					files[i].GID = new(int(info.Sys().(*syscall.Stat_t).Gid))
				}
				d.GID = new(4713)
				again := mustWrite(t, d, files)
				if got := rights(t, d.Path+"/"+again.Generation); !strings.HasSuffix(got, " 4713") {
					t.Errorf("with another group %s has %s", again.Generation, got)
				}
			})
		}
	}
}

func TestADirectoryThatTheAgentMakesLetsInWhoMayReadOneOfItsFiles(t *testing.T) {
	tests := []struct{ more, want string }{
		{``, "drwx------"},
		{`, "mode": "0440"`, "drwxr-x---"},
		{`, "outputs": [{}, {"format": "json", "file": "j", "mode": "0444"}]`, "drwxr-xr-x"},
	}
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	for _, test := range tests {
		k, dir := &kms{}, filepath.Join(memoryDir(t), "secrets")
		k.set("A=1")
		k.run(t, dir, test.more)
		for _, path := range []string{dir, dir + "/..1"} {
			if got, _, _ := strings.Cut(rights(t, path), " "); got != test.want {
				t.Errorf("%s: %s has %s, want %s", test.more, path, got, test.want)
			}
		}
	}
}

// reachable copies the binary of the tests to where any user can reach it.
func reachable(t *testing.T) (binary string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "kms-agent-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	binary = dir + "/writer"
	data, err := os.ReadFile(os.Args[0])
	if err == nil {
		err = os.WriteFile(binary, data, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, binary} {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return binary
}

// as does a job as another user.
func (j job) as(t *testing.T, binary string, uid, gid uint32, groups ...uint32) (outcome string) {
	t.Helper()
	cmd := j.command(binary)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid, Groups: groups}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v, %s", err, out)
	}
	return string(out)
}

// readAs reads a file as another user; "" where he may not.
func readAs(t *testing.T, path string, uid, gid uint32) string {
	t.Helper()
	cmd := exec.Command("cat", path)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: gid, Groups: []uint32{}}}
	out, _ := cmd.Output()
	return string(out)
}

func TestAnAgentThatIsNotRootServesTheGroupsOfItsDirectory(t *testing.T) {
	if os.Getuid() != 0 {
		t.Log("becoming another user needs root")
		return
	}
	binary := reachable(t)
	for _, name := range []string{"links", "renames with previous"} {
		t.Run(name, func(t *testing.T) {
			// As Kubernetes makes a volume for an fsGroup.
			volume := memoryDir(t)
			if err := os.Chown(volume, 0, 2000); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(volume, 0o775|fs.ModeSetgid); err != nil {
				t.Fatal(err)
			}
			d := ways()[name]
			d.Path, d.Mode, d.Enter = volume+"/app", 0o440, 0o050
			files := set("ALL=1", "GROUP=1", "MINE=1", "OTHER=1")
			files[0].Mode, files[2].Mode, files[3].GID = 0o444, 0o400, new(65532)
			for range 2 {
				if got := (job{Dir: d, Files: files, Umask: 0o077}).as(t, binary, 65532, 65532, 2000); got != succeeded {
					t.Fatal(got)
				}
			}
			want := []string{"dgrwxr-x--- 2000", "drwxr-xr-x 2000", "-r--r--r-- 2000", "-r--r----- 2000", "-r-------- 2000", "-r--r----- 65532"}
			got := []string{rights(t, d.Path)}
			for _, path := range []string{"", "/ALL", "/GROUP", "/MINE", "/OTHER"} {
				got = append(got, rights(t, d.Path+"/..1"+path))
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			for _, key := range []string{"ALL", "GROUP"} {
				if readAs(t, d.Path+"/"+key, 1000, 2000) != "1" {
					t.Errorf("the group cannot read %s", key)
				}
			}
			if readAs(t, d.Path+"/MINE", 1000, 2000) != "" || readAs(t, d.Path+"/ALL", 1000, 1000) != "" {
				t.Error("somebody reads what he should not")
			}
			refused := job{Dir: d, Files: set("A=2")}
			refused.Dir.GID = new(3000)
			if got := refused.as(t, binary, 65532, 65532, 2000); !strings.HasPrefix(got, string(deliver.BadConfig)) {
				t.Errorf("a group that the agent is not in: %s", got)
			}
			if err := os.Chmod(d.Path, 0o500); err != nil {
				t.Fatal(err)
			}
			before := states(t, d.Path)
			if got := (job{Dir: d, Files: files}).as(t, binary, 65532, 65532, 2000); got != succeeded {
				t.Errorf("an unchanged set in a directory without the right to write: %s", got)
			}
			if got := (job{Dir: d, Files: set("A=2")}).as(t, binary, 65532, 65532, 2000); !strings.HasPrefix(got, string(deliver.BadConfig)) {
				t.Errorf("a directory without the right to write: %s", got)
			}
			if diff := cmp.Diff(before, states(t, d.Path)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
