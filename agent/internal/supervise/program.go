package supervise

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// defaultPath is where programs are in an image that says nothing else.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// program is a file that can be executed, with an environment that it can have.
type program struct {
	file string
	env  []string
}

// prepare finds out all that can be found out without a start. So a running
// command is not ended for one that would not start.
func prepare(args, env []string) (*program, error) {
	if len(args) == 0 {
		return nil, &Error{127, errors.New("there is no command: name a program to run")}
	}
	file, err := lookup(args[0], env)
	if err != nil {
		return nil, err
	}
	if err := checkRoom(args, env); err != nil {
		return nil, &Error{126, fmt.Errorf("run %s: %w", args[0], err)}
	}
	return &program{file, env}, nil
}

// lookup is that of execvp(3): a file that may not be executed is passed over,
// and is the reason only where no other is found.
func lookup(name string, env []string) (file string, err error) {
	if strings.Contains(name, "/") {
		return name, notRunnable(name, executable(name))
	}
	var found error = fs.ErrNotExist
	for _, dir := range filepath.SplitList(pathOf(env)) {
		file := filepath.Join(dir, name) // an empty one is the current
		err := executable(file)
		if err == nil {
			return file, nil
		}
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
			found = notRunnable(file, err)
		}
	}
	if found != fs.ErrNotExist {
		return "", found
	}
	return "", &Error{127, fmt.Errorf("run %s: no directory in the PATH of its environment has it: %w", name, found)}
}

func executable(file string) error {
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return err
	case info.IsDir():
		return syscall.EISDIR
	case info.Mode()&0o111 == 0:
		return syscall.EACCES
	}
	return nil
}

// notRunnable says what the kernel's reason for not running file means.
func notRunnable(file string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return &Error{127, fmt.Errorf("run %s: there is no such file: %w", file, fs.ErrNotExist)}
	case errors.Is(err, syscall.ENOEXEC):
		err = fmt.Errorf("%w: it is built for another platform, or a script without #! and its interpreter", err)
	}
	return &Error{126, fmt.Errorf("run %s: %w", file, err)}
}

func pathOf(env []string) string {
	path := defaultPath
	for _, variable := range env {
		if value, ok := strings.CutPrefix(variable, "PATH="); ok {
			path = value
		}
	}
	return path
}

// checkRoom refuses what the kernel would refuse, and names the variable.
func checkRoom(args, env []string) error {
	one, all := argumentLimits()
	total := 0
	for _, text := range args {
		total += size(text)
	}
	for _, variable := range env {
		name, value, _ := strings.Cut(variable, "=")
		switch total += size(variable); {
		case strings.Contains(value, "\x00"):
			return fmt.Errorf("the variable %s holds a NUL, which no variable can: use a file for it", name)
		case len(variable) >= one:
			return fmt.Errorf("the variable %s is longer than the %d bytes that one can have: use a file for it", name, one)
		}
	}
	if total > all {
		return fmt.Errorf("the arguments and variables need %d bytes and may have %d: use files for large values", total, all)
	}
	return nil
}

// size is what the kernel counts for an argument or a variable: its bytes, a
// NUL and a pointer.
func size(text string) int { return len(text) + 9 }

// start makes the command a process group of its own, so that all of it can be
// killed. Files that are not close-on-exec were given to this process for the
// command, and it gets them.
func (p *program) start(args []string, terminal *terminal) (pid int, err error) {
	attributes := &syscall.SysProcAttr{Setpgid: true}
	if terminal.wanted && terminal.ours() {
		attributes.Foreground, attributes.Ctty = true, terminal.fd
	}
	pid, err = syscall.ForkExec(p.file, args, &syscall.ProcAttr{Env: p.env, Files: []uintptr{0, 1, 2}, Sys: attributes})
	if errors.Is(err, syscall.ENOENT) && executable(p.file) == nil {
		return 0, &Error{126, fmt.Errorf("run %s: its interpreter or loader is not there: %w", p.file, err)}
	}
	return pid, notRunnable(p.file, err)
}
