package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// mountAll makes the node's own view of the file system: the machine's, with
// other processes, cgroups, /run and /var. All of it goes with the namespace.
func (n *node) mountAll() error {
	// Nothing of what follows may reach the machine.
	if err := mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return err
	}
	for _, do := range []func() error{mountProc, n.mountFolders, mountCgroups, n.coverSysctls} {
		if err := do(); err != nil {
			return err
		}
	}
	// A mount made in one container may have to reach another.
	return mount("", "/", "", syscall.MS_REC|syscall.MS_SHARED, "")
}

func mountProc() error {
	return mount("proc", "/proc", "proc", syscall.MS_NOSUID|syscall.MS_NODEV|syscall.MS_NOEXEC, "")
}

// mountFolders lets the components use the folders they are used to.
func (n *node) mountFolders() error {
	if err := mount("tmpfs", "/run", "tmpfs", 0, "mode=755"); err != nil {
		return err
	}
	layers := fmt.Sprintf("lowerdir=/var,upperdir=%s,workdir=%s", n.path("var"), n.path("var-work"))
	if err := mount("overlay", "/var", "overlay", 0, layers); err != nil {
		return err
	}
	// Volumes of pods are no overlay on a real node.
	if err := os.MkdirAll("/var/lib/kubelet", 0o700); err != nil {
		return err
	}
	return mount(n.path("kubelet"), "/var/lib/kubelet", "", syscall.MS_BIND, "")
}

// mountCgroups replaces the machine's trees, in which a container runtime would
// find its own group under a path such as "/..".
func mountCgroups() error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	if err := syscall.Unmount(cgroupRoot, syscall.MNT_DETACH); err != nil {
		return os.NewSyscallError("unmount "+cgroupRoot, err)
	}
	if err := mount("tmpfs", cgroupRoot, "tmpfs", 0, "mode=755"); err != nil {
		return err
	}
	for _, h := range all {
		if err := h.mount(); err != nil {
			return err
		}
	}
	return nil
}

// coverSysctls shows the kubelet, which insists on these settings of the whole
// machine, files that hold them, so that it sets nothing.
func (n *node) coverSysctls() error {
	for name, value := range map[string]string{
		"kernel/panic": "10", "kernel/panic_on_oops": "1", "kernel/keys/root_maxbytes": "25000000",
		"kernel/keys/root_maxkeys": "1000000", "vm/overcommit_memory": "1", "vm/panic_on_oom": "0",
	} {
		file := n.path("sysctl", filepath.Base(name))
		if err := os.WriteFile(file, []byte(value), 0o644); err != nil {
			return err
		}
		if err := mount(file, filepath.Join("/proc/sys", name), "", syscall.MS_BIND, ""); err != nil {
			return err
		}
	}
	return nil
}

func mount(source, target, kind string, flags uintptr, options string) error {
	if err := syscall.Mount(source, target, kind, flags, options); err != nil {
		return &os.PathError{Op: "mount", Path: target, Err: err}
	}
	return nil
}
