package supervise

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// terminal is the controlling terminal, whose keys and reads belong to one
// process group, the foreground.
//
// The command is a group of its own. It gets the foreground at once if it
// stands alone at the terminal: Ctrl-C then reaches its whole group, and not
// this process, which would forward it a second time. In "... | less" the other
// program needs the foreground, and the command gets it when it asks for it.
type terminal struct {
	fd     int  // -1: there is none
	wanted bool // by the command
}

func openTerminal() *terminal {
	fd, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &terminal{fd: -1}
	}
	return &terminal{fd: fd, wanted: isTerminal(unix.Stdin) && !isPipe(unix.Stdout)}
}

func isTerminal(fd int) bool {
	_, err := foreground(fd)
	return err == nil
}

func isPipe(fd int) bool {
	var stat unix.Stat_t
	err := unix.Fstat(fd, &stat)
	return err == nil && stat.Mode&unix.S_IFMT == unix.S_IFIFO
}

func foreground(fd int) (group int, err error) { return unix.IoctlGetInt(fd, unix.TIOCGPGRP) }

// ours says whether this process could give the foreground away.
func (t *terminal) ours() bool { return t.isForeground(unix.Getpgrp()) }

func (t *terminal) isForeground(group int) bool {
	now, err := foreground(t.fd)
	return err == nil && now == group
}

func (t *terminal) give(group int) {
	if t.wanted && t.ours() {
		setForeground(t.fd, group)
	}
}

// takeBack is for whoever comes after the command: its next run, or the rest
// of the script that started this process.
func (t *terminal) takeBack(group int) {
	if t.isForeground(group) {
		setForeground(t.fd, unix.Getpgrp())
	}
}

func (t *terminal) close() {
	if t.fd >= 0 {
		unix.Close(t.fd)
	}
}

// stopped follows the command when the terminal has stopped it. Any other stop
// is a SIGSTOP, of somebody who knows when to continue it.
func (s *supervisor) stopped(signal syscall.Signal) {
	switch {
	case s.stopping: // it was continued to end, and has until the grace is over
	case signal == unix.SIGTSTP:
		s.signals.suspend()
		s.resume()
	case signal == unix.SIGTTIN, signal == unix.SIGTTOU:
		s.terminal.wanted = true
		if !s.terminal.ours() {
			s.signals.suspend()
		}
		if s.terminal.ours() { // without it the command would stop again at once
			s.resume()
		}
	}
}

func (s *supervisor) resume() {
	s.terminal.give(s.pid)
	unix.Kill(-s.pid, unix.SIGCONT)
}
