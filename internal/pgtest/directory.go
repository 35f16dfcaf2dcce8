package pgtest

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

const directoryPrefix = "kms-pgtest-"

// guardScript removes the directory $1 once its standard input ends, which is
// when this process closes it or dies. A dying PostgreSQL may still write.
const guardScript = `cat >/dev/null
for attempt in $(seq 100); do rm -rf -- "$1" 2>/dev/null && exit 0; sleep 0.1; done`

// directory holds the files of one cluster and goes away with this process.
type directory struct {
	name  string
	lock  *os.File // an exclusive flock on name: "in use"
	guard *exec.Cmd
	input io.Closer // the guard's standard input
}

// newDirectory sweeps what dead processes left, and makes a directory.
func newDirectory() (*directory, error) {
	// Under the lock of the temporary directory no sweep of another process
	// meets a directory that is made and not locked yet.
	unlock, err := lockTemp()
	if err != nil {
		return nil, err
	}
	defer unlock()
	sweep()
	name, err := os.MkdirTemp("", directoryPrefix)
	if err != nil {
		return nil, err
	}
	d := &directory{name: name}
	if err := d.claim(); err != nil {
		return nil, errors.Join(err, d.remove())
	}
	return d, nil
}

func (d *directory) claim() (err error) {
	// PostgreSQL may run as another user, who must get through to his folders.
	if err := os.Chmod(d.name, 0o711); err != nil {
		return err
	}
	if d.lock, err = lockDir(d.name, syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return err
	}
	d.guard = exec.Command("/bin/sh", "-c", guardScript, "sh", d.name)
	d.guard.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // Ctrl-C is not for it
	if d.input, err = d.guard.StdinPipe(); err != nil {
		return err
	}
	return d.guard.Start()
}

func (d *directory) path(elements ...string) string {
	return filepath.Join(append([]string{d.name}, elements...)...)
}

func (d *directory) remove() error {
	err := os.RemoveAll(d.name)
	if d.input != nil {
		d.input.Close()
		_ = d.guard.Wait()
	}
	if d.lock != nil {
		d.lock.Close()
	}
	return err
}

// sweep removes the directories of this user that no living process holds. One
// that cannot be removed is left: it costs disk space, not a test.
func sweep() {
	names, _ := filepath.Glob(filepath.Join(os.TempDir(), directoryPrefix+"*"))
	for _, name := range names {
		info, err := os.Lstat(name)
		if err != nil || !info.IsDir() || info.Sys().(*syscall.Stat_t).Uid != uint32(os.Getuid()) {
			continue
		}
		lock, err := lockDir(name, syscall.LOCK_EX|syscall.LOCK_NB)
		if err != nil {
			continue
		}
		_ = os.RemoveAll(name)
		lock.Close()
	}
}

// lockTemp locks the directory for temporary files, which needs no file that
// would stay behind.
func lockTemp() (unlock func() error, err error) {
	lock, err := lockDir(os.TempDir(), syscall.LOCK_EX)
	if err != nil {
		return nil, err
	}
	return lock.Close, nil
}

func lockDir(name string, how int) (*os.File, error) {
	dir, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(dir.Fd()), how)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			dir.Close()
			return nil, &os.PathError{Op: "lock", Path: name, Err: err}
		}
		return dir, nil
	}
}
