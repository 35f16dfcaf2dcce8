package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// up leaves a node alone that runs these programs already.
func (c cluster) up(ctx context.Context) error {
	if err := needRoot(); err != nil {
		return err
	}
	b, err := build(ctx)
	if err != nil {
		return err
	}
	if programs, err := os.Readlink(c.path("bin")); err == nil && programs == b.programs() && c.running() != 0 {
		say("the node runs already")
		return nil
	}
	if err := c.down(); err != nil {
		return fmt.Errorf("remove an earlier node: %w", err)
	}
	if err := c.prepare(ctx, b); err != nil {
		return fmt.Errorf("prepare %s: %w", c.state, err)
	}
	if err := c.start(ctx); err != nil {
		return errors.Join(fmt.Errorf("start the node: %w; see %s", err, c.path("log")), c.end())
	}
	say("the node is ready: e2e/cluster/in kubectl get pods --all-namespaces")
	return nil
}

// start starts the node's first process and follows it until the node is ready.
func (c cluster) start(ctx context.Context) error {
	progress, theirs, err := os.Pipe()
	if err != nil {
		return err
	}
	defer progress.Close()
	err = c.startProcess(theirs)
	theirs.Close()
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { progress.Close() })()
	if err := follow(progress); ctx.Err() == nil {
		return err
	}
	return context.Cause(ctx)
}

// startProcess starts it in new namespaces. It gets next to nothing from this
// process's environment, and its pods nothing at all.
func (c cluster) startProcess(progress *os.File) error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	log, err := os.Create(c.path("log", "node.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(program)
	cmd.Args = []string{nodeProcess, c.state}
	cmd.Env = []string{"HOME=" + c.state, "PATH=" + c.path("bin") + ":/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{progress}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid: true,
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC |
			syscall.CLONE_NEWUTS | syscall.CLONE_NEWCGROUP,
	}
	err = c.startInGroups(cmd)
	if cmd.Process != nil {
		err = errors.Join(err, os.WriteFile(c.path("pid"), []byte(strconv.Itoa(cmd.Process.Pid)), 0o600))
	}
	return err
}

func (c cluster) startInGroups(cmd *exec.Cmd) error {
	groups, err := makeGroups()
	err = errors.Join(err, os.WriteFile(c.path("groups"), []byte(strings.Join(groups, "\n")), 0o600))
	if err != nil {
		return err
	}
	if err := groups.enter(); err != nil {
		return errors.Join(err, groups.leave())
	}
	return errors.Join(cmd.Start(), groups.leave())
}

// follow tells what the node says of its progress. Its last word is nodeReady,
// or why it gave up.
func follow(progress io.Reader) error {
	started := time.Now()
	last := "its process ended at once"
	lines := bufio.NewScanner(progress)
	for lines.Scan() {
		last = lines.Text()
		if last == nodeReady {
			say("ready after %s", since(started))
			return nil
		}
		say("%s", last)
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return errors.New(last)
}

// prepare fills the folder of a new cluster. Only root can enter it.
func (c cluster) prepare(ctx context.Context, b built) error {
	if err := installNodeTools(ctx); err != nil {
		return err
	}
	if err := os.Mkdir(c.state, 0o700); err != nil {
		return err
	}
	for _, folder := range []string{"log", "etcd", "kubelet", "var", "var-work", "sysctl"} {
		if err := os.Mkdir(c.path(folder), 0o700); err != nil {
			return err
		}
	}
	if err := errors.Join(os.Symlink(b.programs(), c.path("bin")), os.Symlink(b.images(), c.path("images"))); err != nil {
		return err
	}
	return errors.Join(c.writeCredentials(), c.writeConfig())
}
