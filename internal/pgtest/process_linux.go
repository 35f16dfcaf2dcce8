package pgtest

import "syscall"

// dieWithParent has the kernel send SIGQUIT, PostgreSQL's immediate shutdown,
// when the parent ends, even by SIGKILL.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGQUIT }
