// Package kubetest gives tests a real API server with its etcd, and nothing
// else: objects are kept, admitted and watched, and no pod ever runs.
//
// There is one of it per test binary, started for the first test that asks and
// stopped by Main. The programs are those in the folder that KUBEBUILDER_ASSETS
// names; without it, tests are skipped. It must never use a cluster that it
// did not start.
package kubetest

// SPDX-License-Identifier: Apache-2.0

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// Variable is the environment variable that names the folder of the programs.
const Variable = "KUBEBUILDER_ASSETS"

// servers are those of this process.
var servers control

type control struct {
	hasMain bool // so that they are stopped
	once    sync.Once
	running *envtest.Environment
	folder  string // of the scripts that start the programs
	config  *rest.Config
	err     error // of the start
}

// Main runs the tests of a package and stops what they started. It is all of
// a TestMain: func TestMain(m *testing.M) { kubetest.Main(m) }
func Main(m *testing.M) {
	servers.hasMain = true
	code := m.Run()
	if err := servers.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stop the API server:", err)
	}
	os.Exit(code)
}

// Start is the API server, as an administrator. All tests of a package share
// it, so each makes a namespace and names of its own.
func Start(t testing.TB) *rest.Config {
	t.Helper()
	if os.Getenv(Variable) == "" {
		t.Skipf("needs a real API server: %s=$(go run ./e2e/cluster build), in the root of the repository, builds and names it", Variable)
	}
	if !servers.hasMain {
		t.Fatal("nothing would stop the API server: the package wants func TestMain(m *testing.M) { kubetest.Main(m) }")
	}
	servers.once.Do(func() { servers.err = servers.start(os.Getenv(Variable)) })
	if servers.err != nil {
		t.Fatalf("start an API server of %s: %v", os.Getenv(Variable), servers.err)
	}
	return rest.CopyConfig(servers.config)
}

func (c *control) start(programs string) (err error) {
	if c.folder, err = os.MkdirTemp("", "kubetest-"); err != nil {
		return err
	}
	own := false
	c.running = &envtest.Environment{UseExistingCluster: &own, ControlPlaneStartTimeout: 2 * time.Minute} // beside a build it takes a while
	c.running.ControlPlane.Etcd = &envtest.Etcd{}
	if c.running.ControlPlane.Etcd.Path, err = c.wrap(filepath.Join(programs, "etcd")); err != nil {
		return err
	}
	if c.running.ControlPlane.GetAPIServer().Path, err = c.wrap(filepath.Join(programs, "kube-apiserver")); err != nil {
		return err
	}
	c.config, err = c.running.Start()
	return err
}

// wrap gives a program that the kernel ends with this process, however that
// ends: a test that hangs is killed, and then nobody calls stop.
func (c *control) wrap(program string) (string, error) {
	if _, err := exec.LookPath("setpriv"); err != nil {
		return program, nil
	}
	script := filepath.Join(c.folder, filepath.Base(program))
	text := fmt.Sprintf("#!/bin/sh\nexec setpriv --pdeathsig KILL '%s' \"$@\"\n", program)
	return script, os.WriteFile(script, []byte(text), 0o700)
}

func (c *control) stop() (err error) {
	if c.running != nil {
		err = c.running.Stop()
	}
	os.RemoveAll(c.folder)
	return err
}
