//go:build !linux

package supervise

import (
	"math"
	"os/signal"

	"golang.org/x/sys/unix"
)

const waitOptions = unix.WNOHANG | unix.WUNTRACED

// adoptOrphans has nothing to do where the agent is only tried out: they go to
// the first process.
func adoptOrphans() error { return nil }

// argumentLimits leaves the refusal to the kernel.
func argumentLimits() (one, all int) { return math.MaxInt, math.MaxInt }

func setForeground(fd, group int) error {
	signal.Ignore(unix.SIGTTOU)
	defer signal.Reset(unix.SIGTTOU)
	return unix.IoctlSetPointerInt(fd, unix.TIOCSPGRP, group)
}

func stopGroup() {
	unix.Kill(0, unix.SIGTSTP)
	unix.Kill(unix.Getpid(), unix.SIGSTOP)
}
