package deliver

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/hanzoai/kms/agent/config"
)

// Notify tells the application of the generation that lies in the directory,
// unless it was told before. The record of that lies beside the set, so a
// change that nobody was told of is told after a restart too: at least once,
// and exactly once unless the process dies between the signal and its record.
// told says that a signal was sent. A nil notify means that there is nobody.
func Notify(d Dir, notify *config.Notify) (told bool, err error) {
	root, err := os.OpenRoot(d.Path)
	if err != nil {
		return false, fmt.Errorf("open the directory: %w", err)
	}
	defer root.Close()
	current, err := currentGeneration(root)
	if err != nil || current == "" {
		return false, err
	}
	if notified, _ := root.Readlink(notifiedLink); notified == current {
		return false, nil
	}
	// The record is made before the signal, and only moved into its place
	// after it: a full disk must not make the application reload for ever.
	root.Remove(notifiedLinkTmp)
	if err := root.Symlink(current, notifiedLinkTmp); err != nil {
		return false, fmt.Errorf("write %s: %w", notifiedLink, err)
	}
	d.did("make " + notifiedLinkTmp)
	if notify != nil {
		if err := signalApp(notify); err != nil {
			return false, fmt.Errorf("notify the application: %w", err)
		}
		d.did("signal")
	}
	if err := root.Rename(notifiedLinkTmp, notifiedLink); err != nil {
		return notify != nil, fmt.Errorf("write %s: %w", notifiedLink, err)
	}
	d.did("swap " + notifiedLink)
	return notify != nil, nil
}

// signalApp sends the signal to the process whose id the file holds now.
func signalApp(notify *config.Notify) error {
	signal, known := signals()[notify.Signal]
	if !known {
		return badConfig("%s is no signal to notify with", notify.Signal)
	}
	pid, err := readPID(notify.PIDFile)
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, signal); err != nil {
		return fmt.Errorf("send %s to process %d of %s: %w", notify.Signal, pid, notify.PIDFile, err)
	}
	return nil
}

// readPID trusts the file little: the application writes it. A negative number
// would be a group of processes, 0 our own, 1 the pod's first, and a pipe in
// its place would hold up the agent.
func readPID(name string) (int, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return 0, fmt.Errorf("read the pid file: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return 0, errors.New("the pid file " + name + " is not a regular file")
	}
	data, err := io.ReadAll(io.LimitReader(f, 32))
	if err != nil {
		return 0, fmt.Errorf("read the pid file: %w", err)
	}
	pid, err := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 32)
	if err != nil || pid <= 1 || int(pid) == os.Getpid() {
		return 0, errors.New("the pid file " + name + " does not hold the id of an application's process")
	}
	return int(pid), nil
}

func signals() map[string]syscall.Signal {
	return map[string]syscall.Signal{
		"SIGHUP":   syscall.SIGHUP,
		"SIGUSR1":  syscall.SIGUSR1,
		"SIGUSR2":  syscall.SIGUSR2,
		"SIGINT":   syscall.SIGINT,
		"SIGQUIT":  syscall.SIGQUIT,
		"SIGTERM":  syscall.SIGTERM,
		"SIGWINCH": syscall.SIGWINCH,
	}
}
