//go:build unix && !linux

package pgtest

import "syscall"

// dieWithParent does nothing where the kernel has no such signal: a postmaster
// whose files were removed ends by itself within a minute.
func dieWithParent(*syscall.SysProcAttr) {}
