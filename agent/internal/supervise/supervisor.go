package supervise

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// supervisor does everything in one goroutine. So a process cannot be reaped,
// and its id given to another, between the decision to signal it and the
// signal.
//
//	          change                 command ended            group is gone
//	running ---------> stopping ------------------> clearing --------------> running
//	   | command ended    | both kill the group once the grace is over  | told to end
//	   +----------------> ended <----------------------------------------+
type supervisor struct {
	Command
	changes  <-chan Change
	signals  *Signals
	terminal *terminal

	pid    int // of the command, and of its process group
	ended  bool
	status unix.WaitStatus // once ended
	told   bool            // to end, from outside

	stopping bool     // for a restart or for good
	next     *program // to start once the old one is gone; nil: no restart is under way
	waiting  []chan<- error
	grace    <-chan time.Time
	killed   bool
}

func (s *supervisor) run(first *program) error {
	if err := adoptOrphans(); err != nil {
		s.Log.Warn("cannot become the parent of orphaned processes, they go to the first process", "err", err)
	}
	for s.next = first; s.next != nil && !s.told; {
		if err := s.start(); err != nil {
			return err
		}
		for !s.over() {
			s.attend()
		}
	}
	return nil
}

func (s *supervisor) start() error {
	pid, err := s.next.start(s.Args, s.terminal)
	if err != nil {
		return err
	}
	s.pid, s.ended = pid, false
	s.next, s.stopping, s.grace, s.killed = nil, false, nil, false
	s.Log.Debug("command started", "pid", pid)
	s.answer(nil)
	return nil
}

// over says that the command has ended and, where it was stopped, that its
// group is gone. Those that left the group are nobody's business.
func (s *supervisor) over() bool {
	switch {
	case !s.ended:
		return false
	case !s.stopping:
		return true
	case s.killed:
		// A process whose parent left the group may be a zombie for ever.
		return !hasChildren(s.pid)
	}
	return unix.Kill(-s.pid, 0) == unix.ESRCH
}

// attend deals with the next thing that happens.
func (s *supervisor) attend() {
	select {
	case <-s.signals.children:
		s.reap()
	case signal := <-s.signals.arrived:
		s.forward(signal)
	case change, ok := <-s.changes:
		if !ok {
			s.changes = nil
			return
		}
		s.apply(change)
	case <-s.grace:
		s.kill()
	}
}

// reap takes one process, so that a flood of dying ones does not hold up the
// signals.
func (s *supervisor) reap() {
	var status unix.WaitStatus
	pid, err := unix.Wait4(-1, &status, waitOptions, nil)
	if err != nil || pid <= 0 {
		return
	}
	s.signals.lookAgain()
	if pid == s.pid && !s.ended {
		s.observe(status)
	}
}

// observe takes the new state of the command.
func (s *supervisor) observe(status unix.WaitStatus) {
	if status.Stopped() {
		s.stopped(status.StopSignal())
		return
	}
	s.ended, s.status = true, status
	s.terminal.takeBack(s.pid)
	if s.stopping {
		s.signalGroup(s.StopSignal)
	}
}

// signalGroup asks the process group to end. Those of it that are stopped are
// continued, or they would not hear.
func (s *supervisor) signalGroup(signal syscall.Signal) {
	unix.Kill(-s.pid, signal)
	unix.Kill(-s.pid, unix.SIGCONT)
}

func (s *supervisor) kill() {
	s.Log.Warn("command did not end in time, killing its process group", "pid", s.pid, "grace", s.Grace)
	s.killed = true
	unix.Kill(-s.pid, unix.SIGKILL)
	if !s.ended {
		unix.Kill(s.pid, unix.SIGKILL) // it may have joined another group
	}
}

// forward passes on what arrived from outside.
func (s *supervisor) forward(signal syscall.Signal) {
	switch signal {
	case unix.SIGTERM, unix.SIGINT, s.StopSignal:
		s.told = true
	}
	switch {
	case s.ended:
	case signal == unix.SIGCONT:
		s.resume()
	default:
		s.send(signal)
	}
}

func (s *supervisor) send(signal syscall.Signal) error {
	if err := unix.Kill(s.pid, signal); err != nil {
		return fmt.Errorf("send %s to the command: %w", unix.SignalName(signal), err)
	}
	return nil
}

// apply does what change asks for, or notes it for when the restart that is
// under way comes to its end.
func (s *supervisor) apply(change Change) {
	err := s.begin(change)
	switch {
	case err != nil || change.Stop || change.Signal != 0 && s.next == nil:
		answer(change.Done, err)
	default:
		s.waiting = append(s.waiting, change.Done)
	}
}

func (s *supervisor) begin(change Change) error {
	restarting := s.next != nil
	switch {
	case s.told || !restarting && s.hasEnded():
		return ErrEnded
	case change.Stop && restarting:
		s.told, s.next = true, nil
		return nil
	case change.Stop:
		err := s.stop()
		s.told = err == nil
		return err
	case restarting && change.Signal != 0:
		return nil
	case change.Signal != 0:
		return s.send(change.Signal)
	}
	next, err := prepare(s.Args, change.Env)
	if err != nil {
		return err
	}
	s.next = next
	if restarting {
		return nil
	}
	return s.stop()
}

// hasEnded looks whether the command has ended by itself in this very moment:
// then its end is not a restart.
func (s *supervisor) hasEnded() bool {
	var status unix.WaitStatus
	if pid, err := unix.Wait4(s.pid, &status, unix.WNOHANG, nil); err == nil && pid == s.pid {
		s.observe(status)
	}
	return s.ended
}

// stop begins the end of the command. It is told first and alone, because it may
// want to end its children in its own way. What is left is told after it.
func (s *supervisor) stop() error {
	if err := s.send(s.StopSignal); err != nil {
		s.next = nil
		return err
	}
	s.stopping = true
	s.Log.Info("stopping the command", "pid", s.pid, "restart", s.next != nil)
	unix.Kill(-s.pid, unix.SIGCONT)
	s.grace = time.After(s.Grace)
	return nil
}

// answer gives the outcome to all who wait for the restart.
func (s *supervisor) answer(err error) {
	for _, done := range s.waiting {
		answer(done, err)
	}
	s.waiting = nil
}

func answer(done chan<- error, err error) {
	select {
	case done <- err:
	default: // nil, or without room
	}
}

// code is the exit code of the command as a shell has it.
func (s *supervisor) code() int {
	if s.status.Signaled() {
		return 128 + int(s.status.Signal())
	}
	return s.status.ExitStatus()
}

func (s *supervisor) close() {
	s.signals.close()
	s.terminal.close()
	s.answer(ErrEnded)
	for {
		select {
		case change, ok := <-s.changes:
			if !ok {
				return
			}
			answer(change.Done, ErrEnded)
		default:
			return
		}
	}
}

// hasChildren reaps the dead children of this process in group and says
// whether some live.
func hasChildren(group int) bool {
	for {
		pid, err := unix.Wait4(-group, nil, waitOptions, nil)
		if err != nil {
			return !errors.Is(err, unix.ECHILD)
		}
		if pid == 0 {
			return true
		}
	}
}
