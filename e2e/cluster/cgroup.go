package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

const (
	cgroupRoot = "/sys/fs/cgroup"
	groupName  = "hanzo-kms-cluster"
)

// hierarchy is one tree of cgroups, and the group in it that this process is in.
type hierarchy struct {
	controllers string // empty for version 2, "name=systemd" for one without
	group       string // from the root of the tree
}

// hierarchies are those of version 1 and, beside them, of version 2.
func hierarchies() (all []hierarchy, err error) {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			return nil, fmt.Errorf("/proc/self/cgroup has the line %q: want three fields", line)
		}
		h := hierarchy{controllers: fields[1], group: fields[2]}
		if _, err := os.Stat(h.mountPoint()); err == nil {
			all = append(all, h)
		}
	}
	if !slices.ContainsFunc(all, func(h hierarchy) bool { return slices.Contains(strings.Split(h.controllers, ","), "memory") }) {
		return nil, errors.New("the memory controller is not in a cgroup hierarchy of version 1, which this node needs: " +
			"run the tests against another cluster, named by KMS_E2E_KUBECONFIG")
	}
	return all, nil
}

func (h hierarchy) mountPoint() string {
	switch h.controllers {
	case "":
		return filepath.Join(cgroupRoot, "unified")
	case "name=systemd":
		return filepath.Join(cgroupRoot, "systemd")
	default:
		return filepath.Join(cgroupRoot, h.controllers)
	}
}

// mount mounts the tree anew, in a cgroup namespace, where it begins at the
// node's group.
func (h hierarchy) mount() error {
	point := h.mountPoint()
	if err := os.Mkdir(point, 0o755); err != nil {
		return err
	}
	kind, options := "cgroup", h.controllers
	switch {
	case h.controllers == "":
		kind = "cgroup2"
	case strings.HasPrefix(h.controllers, "name="):
		options = "none," + h.controllers
	}
	return mount(kind, point, kind, 0, options)
}

// groups are the groups of one node, a child of this process's own group in
// each hierarchy.
type groups []string

func makeGroups() (made groups, err error) {
	all, err := hierarchies()
	if err != nil {
		return nil, err
	}
	for _, h := range all {
		group := filepath.Join(h.mountPoint(), h.group, groupName)
		if err := removeGroup(group); err != nil {
			return made, fmt.Errorf("remove the cgroup of an earlier node; if another one runs, end it first: %w", err)
		}
		if err := os.Mkdir(group, 0o755); err != nil {
			return made, err
		}
		made = append(made, group)
		if slices.Contains(strings.Split(h.controllers, ","), "cpuset") {
			if err := inheritCPUs(group); err != nil {
				return made, err
			}
		}
	}
	return made, nil
}

// inheritCPUs is needed before a group takes its first process, and for the
// groups that will be below it.
func inheritCPUs(group string) error {
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		value, err := os.ReadFile(filepath.Join(filepath.Dir(group), file))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(group, file), value, 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(group, "cgroup.clone_children"), []byte("1"), 0o644)
}

// enter moves this process into the groups: only what it starts there has them
// as the roots of its cgroup namespace.
func (g groups) enter() error { return g.move("") }

// leave moves it back.
func (g groups) leave() error { return g.move("..") }

func (g groups) move(to string) (err error) {
	for _, group := range g {
		err = errors.Join(err, os.WriteFile(filepath.Join(group, to, "cgroup.procs"), []byte("0"), 0o644))
	}
	return err
}

// removeGroup removes a group and those below it, which lasts until the last of
// their killed processes is gone.
func removeGroup(group string) error {
	return retry("remove "+group, func() error {
		if _, err := os.Stat(group); os.IsNotExist(err) {
			return nil
		}
		var folders []string
		err := filepath.WalkDir(group, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				folders = append(folders, path)
			}
			return err
		})
		for _, folder := range slices.Backward(folders) {
			err = errors.Join(err, syscall.Rmdir(folder))
		}
		return err
	})
}
