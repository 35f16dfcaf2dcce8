package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// nodeProcess is the name of the node's first process, which is this program,
// started by "up" in namespaces of its own: process 1 of them. When it ends, so
// does everything in them.
const nodeProcess = "hanzo-kms-node"

// nodeReady is its last word to "up".
const nodeReady = "ready"

// node is the cluster, seen from inside.
type node struct {
	cluster

	progress   *os.File
	components map[int]string // by process id
}

// runNode does not return.
func runNode(state string) {
	const inherited = 3 // the first after the standard ones
	syscall.CloseOnExec(inherited)
	n := node{cluster: cluster{state: state}, progress: os.NewFile(inherited, "progress"), components: map[int]string{}}
	err := n.boot()
	if err == nil {
		n.progress.Close()
		err = n.watch()
	}
	_ = n.tell(err.Error())
	os.Exit(1)
}

// tell fails if "up" is gone.
func (n *node) tell(line string) error {
	fmt.Fprintln(os.Stderr, line)
	_, err := fmt.Fprintln(n.progress, line)
	return err
}

// boot is the start of the node, step by step. It is given up with "up", or a
// killed one would leave a node that it told nobody of.
func (n *node) boot() error {
	for _, step := range []struct {
		title string
		do    func() error
	}{
		{"mount what is the node's own", n.mountAll},
		{"set up its network", n.setUpNetwork},
		{"start etcd, containerd and the API server", n.startBase},
		{"load images", n.loadImages},
		{"wait for the API server", n.awaitAPI},
		{"start the controllers, the scheduler, kubelet, kube-proxy and CoreDNS", n.startRest},
		{"wait until pods can run", n.awaitNode},
	} {
		if err := n.tell(step.title); err != nil {
			return err
		}
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.title, err)
		}
	}
	return n.tell(nodeReady)
}

func (n *node) setUpNetwork() error {
	if err := syscall.Sethostname([]byte(nodeName)); err != nil {
		return err
	}
	for _, arguments := range [][]string{
		{"link", "set", "lo", "up"},
		{"link", "add", "node0", "type", "bridge"},
		{"address", "add", nodeIP + "/24", "dev", "node0"},
		{"link", "set", "node0", "up"},
		// There is no default route, and without any a connection to a Service
		// fails before kube-proxy's rules see it.
		{"route", "add", serviceRange, "dev", "node0", "src", nodeIP},
	} {
		if err := command("ip", arguments...); err != nil {
			return err
		}
	}
	return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644)
}

func (n *node) startBase() error {
	return errors.Join(n.start(n.etcd()), n.start(n.containerd()), n.start(n.apiServer()))
}

func (n *node) startRest() error {
	return errors.Join(n.start(n.controllerManager()), n.start(n.scheduler()), n.start(n.kubelet()), n.start(n.kubeProxy()), n.start(n.coreDNS()))
}

func (n *node) loadImages() error {
	if err := retry("containerd", func() error { return command("ctr", "version") }); err != nil {
		return err
	}
	archives, err := filepath.Glob(n.path("images", "*.tar"))
	if err != nil {
		return err
	}
	for _, archive := range archives {
		if err := command("ctr", "--namespace", "k8s.io", "images", "import", archive); err != nil {
			return err
		}
	}
	return nil
}

func (n *node) awaitAPI() error {
	return retry("the API server", func() error { return n.kubectl("get", "--raw", "/readyz") })
}

// awaitNode waits also for the account without which no pod is admitted.
func (n *node) awaitNode() error {
	for _, condition := range [][]string{
		{"--for=create", "node/" + nodeName},
		{"--for=condition=Ready", "node/" + nodeName},
		{"--for=create", "serviceaccount/default"},
	} {
		if err := n.kubectl(append([]string{"wait", "--timeout=60s"}, condition...)...); err != nil {
			return err
		}
	}
	return nil
}

func (n *node) kubectl(arguments ...string) error {
	return command("kubectl", append([]string{"--kubeconfig", n.path("pki", "admin.kubeconfig")}, arguments...)...)
}

// start starts a component, with a log of its own.
func (n *node) start(name string, arguments []string) error {
	log, err := os.Create(n.path("log", name+".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(name, arguments...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	n.components[cmd.Process.Pid] = name
	return nil
}

// watch reaps whatever loses its parent, as the first process has to. It
// returns when a component ends: half a node would only puzzle.
func (n *node) watch() error {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if err != nil && err != syscall.EINTR {
			return fmt.Errorf("wait for the components: %w", err)
		}
		if name, ok := n.components[pid]; ok {
			return fmt.Errorf("%s ended (%s): see its log", name, describe(status))
		}
	}
}

func describe(status syscall.WaitStatus) string {
	if status.Signaled() {
		return "signal: " + status.Signal().String()
	}
	return fmt.Sprintf("exit status %d", status.ExitStatus())
}

func command(name string, arguments ...string) error {
	out, err := exec.Command(name, arguments...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(out))
	}
	return nil
}
