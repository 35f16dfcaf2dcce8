package supervise

import (
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// waitOptions are for children of any kind that died or were stopped.
const waitOptions = unix.WNOHANG | unix.WUNTRACED | unix.WALL

// adoptOrphans makes this process what the first process of a container is
// anyway: the parent of those whose parent ends.
func adoptOrphans() error { return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }

// argumentLimits are those of execve(2): of one string, and of all with their
// pointers.
func argumentLimits() (one, all int) {
	all = 6 << 20
	var stack unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_STACK, &stack); err == nil && stack.Cur/4 < uint64(all) {
		all = max(int(stack.Cur/4), 128<<10)
	}
	return 32 * os.Getpagesize(), all
}

// setForeground works from the background, too: SIGTTOU would stop this
// process there, and is blocked. Ignoring it would make the command ignore it.
func setForeground(fd, group int) (err error) {
	block(unix.SIGTTOU, func() { err = unix.IoctlSetPointerInt(fd, unix.TIOCSPGRP, group) })
	return err
}

// stopGroup has been stopped and continued when it returns, unless there is
// nobody who could continue it. SIGTSTP must be ignored before.
//
// A shell may answer the stop of the others with a SIGCONT before this process
// has stopped, which would then stay so. So its own signal comes first, blocked:
// pending, it is taken back by a SIGCONT. It goes to this very thread, because
// the others would go on for a while if another one took it.
func stopGroup() {
	var before action
	block(unix.SIGTSTP, func() {
		unix.Tgkill(unix.Getpid(), unix.Gettid(), unix.SIGTSTP)
		unix.Kill(0, unix.SIGTSTP)
		setAction(unix.SIGTSTP, &action{}, &before)
	})
	setAction(unix.SIGTSTP, &before, nil)
}

// block calls f on a thread where signal is pending instead of acted on.
func block(signal syscall.Signal, f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var blocked, before unix.Sigset_t
	blocked.Val[0] = 1 << (signal - 1)
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &blocked, &before); err != nil {
		return // not with these arguments
	}
	defer unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil)
	f()
}

// action is room for a struct sigaction of any architecture. Zero is the
// default action, which package os/signal does not give back once it has taken
// a signal.
type action [64]byte

func setAction(signal syscall.Signal, to, before *action) {
	unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(signal), uintptr(unsafe.Pointer(to)), uintptr(unsafe.Pointer(before)), 8, 0, 0)
}
