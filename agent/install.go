package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/hanzoai/kms/agent/internal/deliver"
)

// install copies this program to DIR/kms-agent, so that a container of another
// image can run it: it is static, and needs nothing beside it.
func install(args []string) error {
	if len(args) != 1 {
		return usageError("say where to: kms-agent install DIR")
	}
	return deliver.Fail(copySelf(args[0]))
}

func copySelf(dir string) error {
	if err := refuseNoExec(dir); err != nil {
		return err
	}
	self, err := os.Open("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("open this program: %w", err)
	}
	defer self.Close()
	target := filepath.Join(dir, name)
	copied, err := os.CreateTemp(dir, "."+name+"-*")
	if err != nil {
		return fmt.Errorf("install to %s: %w", dir, err)
	}
	defer os.Remove(copied.Name()) // unless it was moved
	_, err = io.Copy(copied, self)
	if err == nil {
		err = copied.Chmod(0o755)
	}
	if closed := copied.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(copied.Name(), target) // whole, even beside one that runs
	}
	if err != nil {
		return fmt.Errorf("install to %s: %w", dir, err)
	}
	return nil
}
