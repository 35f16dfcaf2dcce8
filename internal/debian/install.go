package debian

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// Program is the path of a program, which a package brings where it is missing.
func Program(ctx context.Context, name, fromPackage string) (string, error) {
	if path, err := find(name); err == nil {
		return path, nil
	}
	if err := Install(ctx, fromPackage); err != nil {
		return "", fmt.Errorf("%s is not on PATH: %w", name, err)
	}
	return find(name)
}

// find also looks where servers are, which is on the PATH of root alone.
func find(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return exec.LookPath("/usr/sbin/" + name)
	}
	return path, nil
}

// Install installs those of the packages that are missing. Processes that do
// so at the same moment take turns.
func Install(ctx context.Context, packages ...string) error {
	apt, err := exec.LookPath("apt-get")
	if err != nil || os.Geteuid() != 0 {
		return fmt.Errorf("only root on Debian gets it installed: do what apt-get install %s would", strings.Join(packages, " "))
	}
	unlock, err := lock()
	if err != nil {
		return fmt.Errorf("install %s: %w", strings.Join(packages, " "), err)
	}
	defer unlock()
	missing := missingOf(ctx, packages)
	if len(missing) == 0 {
		return nil
	}
	if err := run(ctx, apt, "update"); err != nil {
		return err
	}
	return run(ctx, apt, append([]string{"install", "-y", "--no-install-recommends"}, missing...)...)
}

// lock locks the directory for temporary files, which needs no file that would
// stay behind. apt-get waits for a lock of its own to install, and to update
// it gives up.
func lock() (unlock func() error, err error) {
	dir, err := os.Open(os.TempDir())
	if err != nil {
		return nil, err
	}
	for {
		if err = syscall.Flock(int(dir.Fd()), syscall.LOCK_EX); err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		dir.Close()
		return nil, &os.PathError{Op: "lock", Path: dir.Name(), Err: err}
	}
	return dir.Close, nil
}

func missingOf(ctx context.Context, packages []string) (missing []string) {
	for _, name := range packages {
		state, _ := exec.CommandContext(ctx, "dpkg-query", "--show", "--showformat=${db:Status-Status}", name).Output()
		if string(state) != "installed" {
			missing = append(missing, name)
		}
	}
	return missing
}

func run(ctx context.Context, apt string, arguments ...string) error {
	cmd := exec.CommandContext(ctx, apt, append([]string{"-q", "-o", "DPkg::Lock::Timeout=300"}, arguments...)...)
	// Offline, systemd starts no service of a new package: a web server of the
	// tests would take port 80.
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "SYSTEMD_OFFLINE=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("apt-get %s: %w\n%s", strings.Join(arguments, " "), err, out)
	}
	return nil
}
