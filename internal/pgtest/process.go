package pgtest

import (
	"os/exec"
	"runtime"
	"syscall"
)

// process is a child that dies with this process.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed once the child has ended
}

// startProcess starts cmd in a session of its own, so that Ctrl-C reaches the
// tests and not their database.
func startProcess(cmd *exec.Cmd) (*process, error) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setsid = true
	dieWithParent(cmd.SysProcAttr)
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error, 1)
	go p.run(started)
	return p, <-started
}

func (p *process) run(started chan<- error) {
	// The kernel's "parent" is the thread that forked. The goroutine keeps
	// that thread to itself until the child has ended, and it ends with it.
	runtime.LockOSThread()
	err := p.cmd.Start()
	started <- err
	if err == nil {
		_ = p.cmd.Wait()
	}
	close(p.done)
}

// end sends the signal and waits; a process that has ended is left alone.
func (p *process) end(signal syscall.Signal) {
	if p.cmd.Process == nil {
		return
	}
	_ = p.cmd.Process.Signal(signal)
	<-p.done
}
