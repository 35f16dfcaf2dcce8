package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The addresses exist in the node's network alone.
const (
	nodeName     = "node"
	nodeIP       = "10.89.0.2"
	podRange     = "10.244.0.0/24"
	serviceRange = "10.96.0.0/16"
	apiServiceIP = "10.96.0.1" // the first of serviceRange
)

// cluster is the folder of one node's state:
//
//	pid      of the node's first process
//	groups   its cgroups, one a line
//	bin      leads to the programs
//	pki      certificates and kubeconfigs
//	config   of the components
//	log      of each of them
//
// and what etcd, containerd and the kubelet keep.
type cluster struct{ state string }

func newCluster() cluster {
	return cluster{state: filepath.Join(os.TempDir(), "hanzo-kms-cluster")}
}

func (c cluster) path(names ...string) string {
	return filepath.Join(append([]string{c.state}, names...)...)
}

// running is the id of the node's first process, 0 if there is none. A process
// that got the number of one that was killed has another name.
func (c cluster) running() int {
	text, err := os.ReadFile(c.path("pid"))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(string(text))
	if err != nil {
		return 0
	}
	name, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || !bytes.HasPrefix(name, []byte(nodeProcess+"\x00")) {
		return 0
	}
	return pid
}

// down ends the node, and removes what one that was killed left as well.
func (c cluster) down() error {
	if err := needRoot(); err != nil {
		return err
	}
	if err := c.end(); err != nil {
		return err
	}
	return os.RemoveAll(c.state)
}

// end kills the node's first process, with which the kernel ends all others and
// takes down their mounts and their network. It keeps the logs.
func (c cluster) end() error {
	if pid := c.running(); pid != 0 {
		say("end the node, process %d", pid)
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			return fmt.Errorf("end the node, process %d: %w", pid, err)
		}
	}
	text, err := os.ReadFile(c.path("groups"))
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	for group := range strings.Lines(string(text)) {
		if err := removeGroup(strings.TrimSpace(group)); err != nil {
			return err
		}
	}
	return errors.Join(remove(c.path("groups")), remove(c.path("pid")))
}

func remove(name string) error {
	if err := os.Remove(name); !os.IsNotExist(err) {
		return err
	}
	return nil
}

func needRoot() error {
	if os.Geteuid() != 0 {
		return errors.New("only root can do this: the node has namespaces, mounts and cgroups, all of its own")
	}
	return nil
}

// retry calls do until it works, for two minutes at most.
func retry(what string, do func() error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for {
		err := do()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not work, after two minutes of tries: %w", what, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
