package main

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/hanzoai/kms/e2e/cluster/image"
	"github.com/hanzoai/kms/internal/debian"
)

const (
	pauseImage = "localhost/pause:1"
	// busyboxImage is what tests run: a shell and its tools. "wget -T" crashes,
	// as Debian builds it.
	busyboxImage = "localhost/busybox:1"
)

// packImages packs the images anew: that takes less time than to find out
// whether it is needed.
func (b built) packImages(ctx context.Context) error {
	pause := image.Image{
		Name: pauseImage, Entrypoint: []string{"/pause"},
		Files: []image.File{{Source: filepath.Join(b.programs(), "pause"), Path: "/pause"}},
	}
	if err := pause.WriteFile(filepath.Join(b.images(), "pause.tar")); err != nil {
		return err
	}
	program, err := staticBusybox(ctx)
	if err != nil {
		return err
	}
	applets, err := exec.CommandContext(ctx, program, "--list").Output()
	if err != nil {
		return fmt.Errorf("ask busybox for its applets: %w", err)
	}
	busybox := image.Image{Name: busyboxImage, Files: []image.File{{Source: program, Path: "/bin/busybox"}}}
	for applet := range strings.FieldsSeq(string(applets)) {
		if applet != "busybox" {
			busybox.Links = append(busybox.Links, image.Link{Path: "/bin/" + applet, Target: "busybox"})
		}
	}
	return busybox.WriteFile(filepath.Join(b.images(), "busybox.tar"))
}

// staticBusybox is a busybox that runs where no C library is.
func staticBusybox(ctx context.Context) (string, error) {
	program, err := debian.Program(ctx, "busybox", "busybox-static")
	if err != nil {
		return "", err
	}
	file, err := elf.Open(program)
	if err != nil {
		return "", err
	}
	defer file.Close()
	interpreted := func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }
	if slices.ContainsFunc(file.Progs, interpreted) {
		return "", fmt.Errorf("%s needs a C library, which the image has not: install busybox-static", program)
	}
	return program, nil
}

// load gives the node the images in the archives.
func (c cluster) load(archives []string) error {
	pid := c.running()
	if pid == 0 {
		return errors.New("no node runs: make cluster-up")
	}
	for _, archive := range archives {
		if err := c.loadOne(pid, archive); err != nil {
			return fmt.Errorf("load %s: %w", archive, err)
		}
		say("loaded %s", archive)
	}
	return nil
}

// loadOne passes the archive by standard input: the node may see other files
// under its name.
func (c cluster) loadOne(pid int, archive string) error {
	file, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer file.Close()
	cmd := exec.Command("nsenter", "--target", strconv.Itoa(pid), "--mount", "--",
		c.path("bin", "ctr"), "--namespace", "k8s.io", "images", "import", "-")
	cmd.Stdin = file
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}
