package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hanzoai/kms/internal/transcript"
)

// binaries are the paths of what was built.
type binaries struct{ server, agent string }

// build makes the binaries as "make build" does.
func build(ctx context.Context, dir string) (bin binaries, err error) {
	bin = binaries{filepath.Join(dir, "kms-server"), filepath.Join(dir, "kms-agent")}
	for _, b := range []struct{ out, pkg string }{{bin.server, "server"}, {bin.agent, "agent"}} {
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", b.out, "github.com/hanzoai/kms/"+b.pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return bin, fmt.Errorf("build %s: %w\n%s", b.pkg, err, out)
		}
	}
	return bin, nil
}

// process is a child that is measured.
type process struct {
	cmd     *exec.Cmd
	address string
	log     transcript.Transcript // what it has logged so far
}

// start starts a program that will listen on address.
func start(address string, env []string, path string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(path, args...), address: address}
	p.cmd.Env = env
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	return p, p.cmd.Start()
}

// stop ends the process as Kubernetes does, and says what it logged if it
// failed.
func (p *process) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w\n%s", filepath.Base(p.cmd.Path), err, &p.log)
	}
	return nil
}

// waitReady waits for the first good answer.
func (p *process) waitReady(ctx context.Context) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline) && ctx.Err() == nil; time.Sleep(time.Millisecond) {
		resp, err := client.Get("http://" + p.address + "/api/status")
		if err != nil {
			continue
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return nil
		}
	}
	return errors.Join(errors.New("it is not ready after 30 s"), p.stop())
}

// cpu is the processor time that the process used so far.
func (p *process) cpu() (time.Duration, error) { return cpuOf(p.cmd.Process.Pid, false) }

// hertz is the unit of times in /proc/PID/stat; Linux fixes it at 100 for
// programs on every platform that Go runs on.
const hertz = 100

// cpuOf reads the processor time of a process, with that of its children that
// have ended if reaped is set.
func cpuOf(pid int, reaped bool) (time.Duration, error) {
	fields, err := statOf(pid)
	if err != nil {
		return 0, err
	}
	var ticks int64
	last := 13 // utime and stime are fields 14 and 15, cutime and cstime the next two
	if reaped {
		last = 15
	}
	for i := 11; i < last; i++ {
		n, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read /proc/%d/stat: %w", pid, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / hertz, nil
}

// statOf gives the fields of /proc/PID/stat behind the name, so from the
// third on.
func statOf(pid int) ([]string, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(fields) < 20 {
		return nil, fmt.Errorf("read /proc/%d/stat: it has %d fields", pid, len(fields))
	}
	return fields, nil
}

// familyCPU is the processor time of a process and of its children, those that
// have ended included.
func familyCPU(pid int) (total time.Duration, err error) {
	if total, err = cpuOf(pid, true); err != nil {
		return 0, err
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	for _, entry := range entries {
		child, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		fields, err := statOf(child)
		if err != nil || fields[1] != strconv.Itoa(pid) {
			continue // it has ended, or is somebody else's
		}
		used, err := cpuOf(child, false)
		if err == nil {
			total += used
		}
	}
	return total, nil
}

// resident is the resident memory in KiB, peak the highest so far.
func (p *process) resident() int64 { return p.status("VmRSS:") }
func (p *process) peak() int64     { return p.status("VmHWM:") }

func (p *process) status(name string) int64 {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	for line := range strings.Lines(string(data)) {
		if text, ok := strings.CutPrefix(line, name); ok {
			n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(text), " kB"), 10, 64)
			return n
		}
	}
	return 0
}

// freeAddress is an address of loopback that nobody listens on.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}
