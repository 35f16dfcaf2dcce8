package tell

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// send signals the process pid if it is the expected one. The handle is taken
// before the look at it: if the id goes to another process after that, the
// signal goes to nobody. A process that is gone gives os.ErrProcessDone.
func send(pid int, signal syscall.Signal, expected func(process) bool) error {
	handle, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	defer handle.Release()
	// Where nothing can be seen of the process, the signal itself will tell.
	if p, err := readProcess(pid); err == nil && !expected(p) {
		return os.ErrProcessDone
	}
	err = handle.Signal(signal)
	if errors.Is(err, syscall.EPERM) {
		return fmt.Errorf("signal process %d: %w: give the agent the same runAsUser as the application, or the capability KILL", pid, err)
	}
	return err
}

func parseSignal(name string) (syscall.Signal, error) {
	signal, known := map[string]syscall.Signal{
		"SIGHUP":   syscall.SIGHUP,
		"SIGUSR1":  syscall.SIGUSR1,
		"SIGUSR2":  syscall.SIGUSR2,
		"SIGINT":   syscall.SIGINT,
		"SIGQUIT":  syscall.SIGQUIT,
		"SIGTERM":  syscall.SIGTERM,
		"SIGWINCH": syscall.SIGWINCH,
	}[name]
	if !known {
		return 0, fmt.Errorf("%q is no signal to tell with: give one such as SIGHUP", name)
	}
	return signal, nil
}

// Signal is the signal of a name that a parsed configuration holds; 0 for any
// other.
func Signal(name string) syscall.Signal {
	signal, _ := parseSignal(name)
	return signal
}
