package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// build compiles the programs into the demo's own folder.
func (d *demo) build(ctx context.Context) error {
	var err error
	if d.dir, err = os.MkdirTemp("", "kms-demo-"); err != nil {
		return err
	}
	for _, program := range []struct{ name, source string }{{"kms-server", "./server"}, {"kms-agent", "./agent"}, {"reload-app", "./examples/apps/go"}} {
		cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", d.path(program.name), program.source)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s (run it from the root of the repository): %w\n%s", program.name, err, out)
		}
		info, err := os.Stat(d.path(program.name))
		if err != nil {
			return err
		}
		d.screen.say("%-11s %5.1f MB", program.name, float64(info.Size())/1e6)
	}
	return nil
}

func (d *demo) path(name string) string { return filepath.Join(d.dir, name) }

// process is a program of the demo that runs.
type process struct {
	cmd   *exec.Cmd
	lines chan string // of its output

	mu   sync.Mutex
	tail []string // the last lines, for when it fails
	done chan struct{}
}

// start runs a program; it ends with the demo.
func (d *demo) start(env []string, name string, args ...string) (*process, error) {
	cmd := exec.Command(d.path(name), args...)
	cmd.Env = append(os.Environ(), env...)
	// Ctrl-C goes to the demo, which ends its programs in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, lines: make(chan string, 1000), done: make(chan struct{})}
	go p.read(out)
	d.processes = append(d.processes, p)
	return p, nil
}

func (p *process) read(out io.Reader) {
	scanner := bufio.NewScanner(out)
	for scanner.Scan() {
		p.mu.Lock()
		p.tail = append(p.tail, scanner.Text())
		if len(p.tail) > 10 {
			p.tail = p.tail[1:]
		}
		p.mu.Unlock()
		select {
		case p.lines <- scanner.Text():
		default: // nobody waits for a line
		}
	}
	_ = p.cmd.Wait()
	close(p.done)
}

// await waits for a line of output that has a text in it.
func (p *process) await(ctx context.Context, text string) (string, error) {
	for {
		select {
		case line := <-p.lines:
			if strings.Contains(line, text) {
				return line, nil
			}
		case <-p.done:
			return "", p.failed()
		case <-ctx.Done():
			return "", fmt.Errorf("%s did not say %q in time: %w", filepath.Base(p.cmd.Path), text, ctx.Err())
		}
	}
}

func (p *process) failed() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return fmt.Errorf("%s ended:\n%s", filepath.Base(p.cmd.Path), strings.Join(p.tail, "\n"))
}

// stop ends the program, at first politely.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// explain shows the last lines of every program, for when the demo fails.
func (d *demo) explain() {
	for _, p := range d.processes {
		p.mu.Lock()
		fmt.Fprintf(os.Stderr, "\nlast lines of %s:\n%s\n", filepath.Base(p.cmd.Path), strings.Join(p.tail, "\n"))
		p.mu.Unlock()
	}
}

// close ends all programs, the last started first, and removes what they left.
func (d *demo) close() {
	for i := len(d.processes) - 1; i >= 0; i-- {
		d.processes[i].stop()
	}
	for _, dir := range []string{d.dir, d.memory} {
		if dir != "" {
			os.RemoveAll(dir)
		}
	}
}

// freeAddress is a loopback address that nobody listens on.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
