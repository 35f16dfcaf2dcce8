package tell

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
)

// grace is how long a command may take to end before it is killed.
const grace = 2 * time.Second

// run runs the command in a process group of its own, with nothing to read and
// nobody to print to. What it leaves running when it ends by itself stays.
func run(ctx context.Context, command []string) error {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env = environment()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { endGroup(cmd.Process.Pid); return nil }
	cmd.WaitDelay = grace // for a command that has left its group
	err := cmd.Run()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case cmd.ProcessState != nil:
		return fmt.Errorf("it ended with %w: its output is not kept, since it may hold secrets", err)
	}
	return fmt.Errorf("start it: %w", err)
}

// environment is the agent's, without its own settings: the credentials are
// among them.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return strings.HasPrefix(variable, "KMS_")
	})
}

// endGroup asks all processes of the group to end, and kills those that are
// left. It looks often whether any are: once the group is empty, its number
// may become another's.
func endGroup(group int) {
	syscall.Kill(-group, syscall.SIGTERM)
	for range grace / lookAgain {
		time.Sleep(lookAgain)
		if syscall.Kill(-group, 0) != nil {
			return
		}
	}
	syscall.Kill(-group, syscall.SIGKILL)
}

const lookAgain = 20 * time.Millisecond
