//go:build linux

package supervise_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTheExitCodeIsThatOfTheCommand(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		script string
		want   int
	}{
		{"exit 0", 0},
		{"exit 3", 3},
		{"exit 255", 255},
		{"kill -TERM $$", 143},
		{"kill -KILL $$", 137},
		{"kill -40 $$", 168},
		{"(kill -STOP $PPID; kill -CONT $PPID); exit 4", 4},
	} {
		t.Run(test.script, func(t *testing.T) {
			t.Parallel()
			start(t, shell(test.script)).ends(test.want)
		})
	}
}

func TestACommandThatCannotBeRunSaysWhy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	inDir := func(name string) string { return filepath.Join(dir, name) }
	for name, file := range map[string]struct {
		text string
		mode os.FileMode
	}{
		"plain":         {"echo plain", 0o644},
		"no-shebang":    {"echo no shebang", 0o755},
		"no-python":     {"#!/nowhere/python\n", 0o755},
		"second/plain":  {"#!/bin/sh\nexit 5\n", 0o755},
		"second/a-file": {"", 0o644},
	} {
		if err := os.MkdirAll(filepath.Dir(inDir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(inDir(name), []byte(file.text), file.mode); err != nil {
			t.Fatal(err)
		}
	}
	path := "PATH=" + dir + ":" + inDir("second/a-file") + ":" + inDir("second")
	for _, test := range []struct {
		name string
		args []string
		env  []string
		code int
		want string
	}{
		{"a program in nobody's PATH", []string{"nosuchprogram"}, []string{"PATH=/bin:/usr/bin"}, 127,
			"run nosuchprogram: no directory in the PATH of its environment has it: file does not exist"},
		{"a program that only our own PATH has", []string{"sh"}, []string{path}, 127,
			"run sh: no directory in the PATH of its environment has it: file does not exist"},
		{"a program without a PATH", []string{"sh", "-c", "exit 6"}, nil, 6, ""},
		{"a file that may not be executed, and another later in PATH", []string{"plain"}, []string{path}, 5, ""},
		{"a directory in PATH", []string{"second"}, []string{path}, 126, "run " + inDir("second") + ": is a directory"},
		{"a path that is not there", []string{inDir("missing")}, nil, 127, "run " + inDir("missing") + ": there is no such file: file does not exist"},
		{"a path through a file", []string{inDir("plain/x")}, nil, 127, "run " + inDir("plain/x") + ": there is no such file: file does not exist"},
		{"a file that may not be executed", []string{inDir("plain")}, nil, 126, "run " + inDir("plain") + ": permission denied"},
		{"a script without its first line", []string{inDir("no-shebang")}, nil, 126,
			"run " + inDir("no-shebang") + ": exec format error: it is built for another platform, or a script without #! and its interpreter"},
		{"a script whose interpreter the image lacks", []string{inDir("no-python")}, nil, 126,
			"run " + inDir("no-python") + ": its interpreter or loader is not there: no such file or directory"},
		{"no command", nil, nil, 127, "there is no command: name a program to run"},
		{"a binary value", []string{"sh"}, []string{"KEY=canary\x00"}, 126,
			"run sh: the variable KEY holds a NUL, which no variable can: use a file for it"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := start(t, spec{Args: test.args, Env: test.env})
			p.ends(test.code)
			if diff := cmp.Diff(test.want, strings.TrimSuffix(p.stderr.String(), "\n")); diff != "" {
				t.Errorf("stderr (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheCommandFindsEverythingAsItWasWithoutUs(t *testing.T) {
	t.Parallel()
	const look = `exec 2>&1; pwd; umask; ulimit -Sn; ulimit -Hn; ulimit -c; ls /proc/self/fd; grep -E "Sig[PBIC]|ShdPnd|NoNewPrivs|Cap" /proc/self/status; env`
	for _, test := range []struct{ name, before string }{
		{"plainly", `:`},
		{"with few files", `ulimit -Sn 64`},
		{"under nohup", `trap "" HUP INT`},
		{"with a socket of systemd", `exec 3</dev/null 5</dev/zero`},
		{"without stdin", `exec </dev/null`},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := shell(look)
			with := command(s, "sh", "-c", test.before+`; exec "$0"`)
			without := command(spec{}, "sh", "-c", test.before+`; exec env -i "$PATH_VARIABLE" sh -c "$LOOK"`)
			without.Env = append(os.Environ(), "LOOK="+look, "PATH_VARIABLE="+s.Env[0])
			want, err := without.Output()
			if err != nil {
				t.Fatal(err)
			}
			got, err := with.Output()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("what the command finds (-want +got):\n%s", diff)
			}
		})
	}
}
