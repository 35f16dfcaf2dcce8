package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/hanzoai/kms/internal/debian"
)

// built is the folder of what was built from one state of the tools modules.
type built string

func (b built) programs() string { return filepath.Join(string(b), "bin") }
func (b built) images() string   { return filepath.Join(string(b), "images") }

// build builds the programs and packs the images that are missing. Of several
// at once, one builds and the others wait.
func build(ctx context.Context) (built, error) {
	b, err := cacheFolder()
	if err != nil {
		return "", err
	}
	unlock, err := lock(string(b))
	if err != nil {
		return "", err
	}
	defer unlock()
	if err := b.buildPrograms(ctx); err != nil {
		return "", err
	}
	return b, b.packImages(ctx)
}

func (b built) buildPrograms(ctx context.Context) error {
	if err := installBuildTools(ctx); err != nil {
		return err
	}
	version, err := kubernetesVersion(ctx)
	if err != nil {
		return err
	}
	for _, target := range targets(version) {
		if err := target.build(ctx, b.programs()); err != nil {
			return err
		}
	}
	return b.linkKube()
}

func (b built) linkKube() error {
	for _, name := range kubeNames {
		if err := os.Symlink("kube", filepath.Join(b.programs(), name)); err != nil && !os.IsExist(err) {
			return err
		}
	}
	return nil
}

// installBuildTools gets what runc is linked with.
func installBuildTools(ctx context.Context) error {
	for _, program := range []struct{ name, fromPackage string }{{"gcc", "gcc"}, {"pkg-config", "pkg-config"}} {
		if _, err := debian.Program(ctx, program.name, program.fromPackage); err != nil {
			return err
		}
	}
	if exec.CommandContext(ctx, "pkg-config", "--exists", "libseccomp").Run() == nil {
		return nil
	}
	return debian.Install(ctx, "libc6-dev", "libseccomp-dev")
}

// cacheFolder is made for what the tools modules hold now, this compiler and
// this architecture.
func cacheFolder() (built, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache folder: %w", err)
	}
	key, err := hashTools()
	if err != nil {
		return "", fmt.Errorf("read the tools modules (run this from the root of the repository): %w", err)
	}
	b := built(filepath.Join(cache, "hanzo-kms", "cluster", key))
	for _, folder := range []string{filepath.Join(b.programs(), "cni"), b.images()} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return "", err
		}
	}
	return b, nil
}

func hashTools() (string, error) {
	hash := sha256.New()
	fmt.Fprintln(hash, runtime.Version(), runtime.GOARCH)
	add := func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		fmt.Fprintln(hash, path, len(content))
		hash.Write(content)
		return err
	}
	for _, root := range []string{toolsFolder, "e2e/cluster/targets.go"} {
		if err := filepath.WalkDir(root, add); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(hash.Sum(nil))[:16], nil
}

// lock locks a folder, which needs no file that would stay behind.
func lock(folder string) (unlock func() error, err error) {
	dir, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	if syscall.Flock(int(dir.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
		return dir.Close, nil
	}
	say("another one builds in %s: waiting for it", folder)
	for {
		if err = syscall.Flock(int(dir.Fd()), syscall.LOCK_EX); err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		dir.Close()
		return nil, &os.PathError{Op: "lock", Path: folder, Err: err}
	}
	return dir.Close, nil
}

// runWithProgress runs a command that may take minutes, and says now and then
// that it still does.
func runWithProgress(cmd *exec.Cmd, what string) error {
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	started := time.Now()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	say("%s", what)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(20 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			say("%s goes on, %s so far", what, since(started))
		case err := <-ended:
			if err != nil {
				return fmt.Errorf("%s: %w\n%s", what, err, output.Bytes())
			}
			say("%s took %s", what, since(started))
			return nil
		}
	}
}

func since(started time.Time) time.Duration {
	return time.Since(started).Round(100 * time.Millisecond)
}
