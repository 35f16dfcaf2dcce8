package app_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/debug"
	"syscall"
	"testing"

	"github.com/hanzoai/kms/internal/app"
)

type coded int

func (c coded) Error() string { return fmt.Sprintf("code %d", int(c)) }
func (c coded) ExitCode() int { return int(c) }

type run = func(ctx context.Context, args []string, stdout, stderr io.Writer) error

// programs are run as processes of their own: this test binary, started again.
var programs = map[string]run{
	"fine": func(_ context.Context, _ []string, stdout, _ io.Writer) error {
		_, err := fmt.Fprintln(stdout, "done")
		return err
	},
	"two errors": func(context.Context, []string, io.Writer, io.Writer) error {
		return errors.Join(errors.New("first"), errors.New("second"))
	},
	"code": func(context.Context, []string, io.Writer, io.Writer) error {
		return fmt.Errorf("log in: %w", coded(3))
	},
	"code of success": func(context.Context, []string, io.Writer, io.Writer) error {
		return coded(0)
	},
	"child killed": func(context.Context, []string, io.Writer, io.Writer) error {
		return coded(-1)
	},
	"help": func(_ context.Context, args []string, _, _ io.Writer) error {
		fs := app.NewFlags("kms-test", "It helps.")
		return errors.Join(fs.Parse(args, os.LookupEnv), errors.New("and a rule is broken"))
	},
	"drains": func(ctx context.Context, _ []string, stdout, _ io.Writer) error {
		fmt.Fprintln(stdout, "ready")
		<-ctx.Done()
		fmt.Fprintln(stdout, "drained")
		return nil
	},
	"hangs": func(ctx context.Context, _ []string, stdout, _ io.Writer) error {
		fmt.Fprintln(stdout, "ready")
		<-ctx.Done()
		fmt.Fprintln(stdout, "stuck")
		select {}
	},
}

func TestMain(m *testing.M) {
	if program, ok := programs[os.Getenv("APP_TEST_PROGRAM")]; ok {
		app.Main("kms-test", program)
	}
	os.Exit(m.Run())
}

func program(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), "APP_TEST_PROGRAM="+name)
	return cmd
}

func TestAProgramEndsWithItsErrorsAndItsCode(t *testing.T) {
	tests := []struct {
		program        string
		args           []string
		stdout, stderr string
		code           int
	}{
		{"fine", nil, "done\n", "", 0},
		{"two errors", nil, "", "kms-test: first\nkms-test: second\n", 1},
		{"code", nil, "", "kms-test: log in: code 3\n", 3},
		{"code of success", nil, "", "kms-test: code 0\n", 1},
		{"child killed", nil, "", "kms-test: code -1\n", 1},
		{"help", []string{"-h"}, app.NewFlags("kms-test", "It helps.").Usage(), "", 0},
		{"help", []string{"-x"}, "", "kms-test: -x is not a flag: see kms-test -h\nkms-test: and a rule is broken\n", 2},
	}
	for _, tt := range tests {
		t.Run(tt.program, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			cmd := program(t, tt.program, tt.args...)
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			cmd.Run()
			if code := cmd.ProcessState.ExitCode(); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if stdout.String() != tt.stdout || stderr.String() != tt.stderr {
				t.Errorf("stdout %q, stderr %q\nwant   %q,        %q", &stdout, &stderr, tt.stdout, tt.stderr)
			}
		})
	}
}

func TestTheFirstSignalEndsTheContextAndTheSecondTheProcess(t *testing.T) {
	tests := []struct {
		program string
		signals []os.Signal
		lines   []string // the line awaited before each signal
		code    int
	}{
		{"drains", []os.Signal{syscall.SIGTERM}, []string{"ready"}, 0},
		{"drains", []os.Signal{os.Interrupt}, []string{"ready"}, 0},
		{"hangs", []os.Signal{syscall.SIGTERM, syscall.SIGTERM}, []string{"ready", "stuck"}, 143},
		{"hangs", []os.Signal{syscall.SIGTERM, os.Interrupt}, []string{"ready", "stuck"}, 130},
	}
	for _, tt := range tests {
		t.Run(tt.program, func(t *testing.T) {
			cmd := program(t, tt.program)
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(stdout)
			for i, signal := range tt.signals {
				if !lines.Scan() || lines.Text() != tt.lines[i] {
					t.Fatalf("got line %q, want %q", lines.Text(), tt.lines[i])
				}
				if err := cmd.Process.Signal(signal); err != nil {
					t.Fatal(err)
				}
			}
			io.Copy(io.Discard, stdout)
			cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
		})
	}
}

func TestTheVersionIsTheReleaseOrWhatTheBuildKnows(t *testing.T) {
	build := func(version string, settings ...debug.BuildSetting) *debug.BuildInfo {
		return &debug.BuildInfo{Main: debug.Module{Version: version}, Settings: settings}
	}
	revision := debug.BuildSetting{Key: "vcs.revision", Value: "0123456789abcdef0123456789abcdef01234567"}
	tests := []struct {
		name    string
		release string
		info    *debug.BuildInfo
		want    string
	}{
		{"set by the linker", "v1.2.3", build("(devel)", revision), "v1.2.3"},
		{"built from a commit", "", build("v0.0.0-2026", revision), "0123456789ab"},
		{"built from changed files", "", build("", revision, debug.BuildSetting{Key: "vcs.modified", Value: "true"}), "0123456789ab-dirty"},
		{"installed as a module", "", build("v1.2.3"), "v1.2.3"},
		{"built from no commit", "", build("(devel)"), "dev"},
		{"no build information", "", nil, "dev"},
	}
	for _, tt := range tests {
		if got := app.VersionOf(tt.release, tt.info); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}
