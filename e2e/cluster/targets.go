package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// toolsFolder holds the modules that pin what is built; the driver is run from
// the root of the repository.
const toolsFolder = "e2e/cluster/tools"

// target is one program to build.
type target struct {
	name    string // below the folder of the programs
	module  string // below toolsFolder
	pkg     string
	cgo     bool
	tags    string
	ldflags string
}

func targets(kubernetesVersion string) []target {
	const (
		containerd = "github.com/containerd/containerd/v2/cmd/"
		plugins    = "github.com/containernetworking/plugins/plugins/"
	)
	return []target{
		{name: "kube", module: "kube", pkg: ".", ldflags: versionFlags(kubernetesVersion)},
		{name: "containerd", module: "containerd", pkg: containerd + "containerd", tags: "no_btrfs,no_devmapper,no_zfs,no_tracing"},
		{name: "containerd-shim-runc-v2", module: "containerd", pkg: containerd + "containerd-shim-runc-v2", tags: "no_tracing"},
		{name: "ctr", module: "containerd", pkg: containerd + "ctr"},
		// seccomp is a C library, which goes into the one static file.
		{name: "runc", module: "containerd", pkg: "github.com/opencontainers/runc", cgo: true, tags: "seccomp,netgo,osusergo", ldflags: "-extldflags -static"},
		{name: "pause", module: "containerd", pkg: "./pause"},
		{name: "cni/bridge", module: "containerd", pkg: plugins + "main/bridge"},
		{name: "cni/host-local", module: "containerd", pkg: plugins + "ipam/host-local"},
		{name: "cni/loopback", module: "containerd", pkg: plugins + "main/loopback"},
		{name: "cni/portmap", module: "containerd", pkg: plugins + "meta/portmap"},
		{name: "coredns", module: "coredns", pkg: "."},
	}
}

// kubeNames are the links by which the program kube is called. A folder with
// these is also what envtest looks for.
var kubeNames = []string{"etcd", "helm", "kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubectl", "kubelet"}

// versionFlags set what Kubernetes takes for its own version, which is v0.0.0
// when it is built as a module.
func versionFlags(version string) string {
	parts := strings.Split(strings.TrimPrefix(version, "v"), ".")
	var flags []string
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		flags = append(flags, "-X "+pkg+".gitVersion="+version, "-X "+pkg+".gitMajor="+parts[0], "-X "+pkg+".gitMinor="+parts[1])
	}
	return strings.Join(flags, " ")
}

func kubernetesVersion(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Version}}", "k8s.io/kubernetes")
	cmd.Dir = filepath.Join(toolsFolder, "kube")
	cmd.Env = append(os.Environ(), "GOWORK=off")
	cmd.Stderr = os.Stderr
	version, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("ask go for the version of Kubernetes (run this from the root of the repository): %w", err)
	}
	return strings.TrimSpace(string(version)), nil
}

// build builds the program in folder if it is not there. It gets its name when
// it is whole.
func (t target) build(ctx context.Context, folder string) error {
	program := filepath.Join(folder, t.name)
	if _, err := os.Stat(program); err == nil {
		return nil
	}
	unfinished := program + ".new"
	cmd := exec.CommandContext(ctx, "go", "build", "-mod=readonly", "-buildvcs=false", "-trimpath",
		"-tags", t.tags, "-ldflags", "-s -w "+t.ldflags, "-o", unfinished, t.pkg)
	cmd.Dir = filepath.Join(toolsFolder, t.module)
	cmd.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
	if t.cgo {
		cmd.Env = append(cmd.Env, "CGO_ENABLED=1")
	}
	if err := runWithProgress(cmd, "build "+t.name); err != nil {
		return err
	}
	return os.Rename(unfinished, program)
}
