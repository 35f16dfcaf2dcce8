package main

import (
	"fmt"
	"syscall"

	"github.com/hanzoai/kms/agent/internal/deliver"
)

// prSetDumpable is PR_SET_DUMPABLE of prctl(2).
const prSetDumpable = 4

// harden keeps values out of core dumps, and other processes of the same user
// out of this one's memory. It comes before any credential is opened.
func harden() error {
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}); err != nil {
		return fmt.Errorf("switch core dumps off: %w", err)
	}
	return hide()
}

// hide is harden for a process that starts others: a limit would be theirs too.
// A process that is not dumpable dumps no core either, and its environment in
// /proc is closed to others of the same user.
func hide() error {
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, prSetDumpable, 0, 0); errno != 0 {
		return fmt.Errorf("make the process not dumpable: %w", errno)
	}
	return nil
}

const stNoExec = 8 // ST_NOEXEC of statvfs(3)

// refuseNoExec says so before a program is copied to where none can run.
func refuseNoExec(dir string) error {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(dir, &stat); err != nil {
		return fmt.Errorf("look at %s: %w", dir, err)
	}
	if stat.Flags&stNoExec != 0 {
		return &deliver.Failure{Reason: deliver.BadConfig, Err: fmt.Errorf("no program can run from %s: it is mounted noexec", dir)}
	}
	return nil
}
