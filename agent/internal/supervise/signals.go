package supervise

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

const lastSignal = syscall.Signal(64)

// Signals are those that arrive at this process.
type Signals struct {
	children chan os.Signal      // a child has a new state
	arrived  chan syscall.Signal // to be forwarded
	slots    [lastSignal + 1]chan os.Signal
	closed   chan struct{}
}

// Listen takes the signals from now on: what arrives before the command is
// started is forwarded when it is.
func Listen() *Signals {
	s := &Signals{children: make(chan os.Signal, 1), arrived: make(chan syscall.Signal), closed: make(chan struct{})}
	signal.Notify(s.children, unix.SIGCHLD)
	for number := syscall.Signal(1); number <= lastSignal; number++ {
		if forwarded(number) && !signal.Ignored(number) { // nohup ignores SIGHUP for the command, too
			s.take(number)
		}
	}
	// Taken and never read. Without that a log on a pipe that nobody reads any
	// more would end this process, and in a container the command with it.
	s.slots[unix.SIGPIPE] = make(chan os.Signal, 1)
	signal.Notify(s.slots[unix.SIGPIPE], unix.SIGPIPE)
	return s
}

// Arrived gives the signals that are to be forwarded, to somebody who has a use
// for them before the command is started.
func (s *Signals) Arrived() <-chan syscall.Signal { return s.arrived }

// forwarded leaves out what cannot be taken, what is this process's own
// (SIGURG is how the Go runtime interrupts goroutines), and the stops of a
// background process that uses the terminal, which are meant for it alone.
func forwarded(number syscall.Signal) bool {
	switch number {
	case unix.SIGKILL, unix.SIGSTOP, unix.SIGCHLD, unix.SIGURG, unix.SIGPIPE, unix.SIGTTIN, unix.SIGTTOU:
		return false
	}
	return true
}

// take gives each signal a place for one, as the kernel does: a flood of one
// never takes the place of another.
func (s *Signals) take(number syscall.Signal) {
	slot := make(chan os.Signal, 1)
	s.slots[number] = slot
	signal.Notify(slot, number)
	go s.pass(number, slot)
}

func (s *Signals) pass(number syscall.Signal, slot <-chan os.Signal) {
	for {
		select {
		case <-slot:
		case <-s.closed:
			return
		}
		select {
		case s.arrived <- number:
		case <-s.closed:
			return
		}
	}
}

// lookAgain notes that there may be more children with a new state.
func (s *Signals) lookAgain() {
	select {
	case s.children <- unix.SIGCHLD:
	default:
	}
}

// suspend stops this process and the rest of its group, as Ctrl-Z would have,
// until somebody continues it. The kernel does nothing where there is nobody
// who could.
//
// The signals of that are not forwarded: a SIGCONT that came to the command
// late would undo the next Ctrl-Z.
func (s *Signals) suspend() {
	signal.Ignore(unix.SIGTSTP, unix.SIGCONT)
	stopGroup()
	for _, number := range []syscall.Signal{unix.SIGTSTP, unix.SIGCONT} {
		if slot := s.slots[number]; slot != nil {
			signal.Notify(slot, number)
		}
	}
}

func (s *Signals) close() {
	signal.Stop(s.children)
	for _, slot := range s.slots {
		if slot != nil {
			signal.Stop(slot)
		}
	}
	close(s.closed)
}
