package main

import (
	"os"
	"runtime"
	"syscall"
)

// PR_SET_TIMERSLACK and PR_GET_TIMERSLACK of prctl(2).
const (
	prSetTimerSlack = 29
	prGetTimerSlack = 30
)

// timerSlack is how late a timer of the agent may be, in nanoseconds. While
// anything runs, Go's monitor looks after it every 20 µs; of the CPU of a poll
// that is a third, and of 10 ms nothing here depends.
const timerSlack = 10_000_000

// restQuietly makes the process one that uses little CPU while nothing
// changes: its goroutines take turns on one thread, and its timers may be
// late. The latter holds for threads that are made afterwards, and the
// monitor's is older than main: so the program starts itself once more, as the
// same process. Where that is not possible it goes on as it is.
func restQuietly() {
	runtime.GOMAXPROCS(1)
	runtime.LockOSThread() // the setting is that of a thread
	defer runtime.UnlockOSThread()
	slack, _, failed := syscall.RawSyscall(syscall.SYS_PRCTL, prGetTimerSlack, 0, 0)
	if failed != 0 || slack >= timerSlack {
		return
	}
	if _, _, failed := syscall.RawSyscall(syscall.SYS_PRCTL, prSetTimerSlack, timerSlack, 0); failed != 0 {
		return
	}
	if path, err := os.Executable(); err == nil {
		_ = syscall.Exec(path, os.Args, os.Environ()) // it comes back only if it fails
	}
}
