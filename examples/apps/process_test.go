package apps_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hanzoai/kms/internal/debian"
	"github.com/hanzoai/kms/server/kmstest"
)

// patience ends a test that would hang; it asserts nothing.
const patience = time.Minute

// builds is where the programs of this module are built.
var builds string

func TestMain(m *testing.M) {
	var err error
	if builds, err = os.MkdirTemp("", "kms-apps-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(builds)
	os.Exit(code)
}

var (
	goApp = sync.OnceValues(func() (string, error) { return build("app", "./go") })
	agent = sync.OnceValues(func() (string, error) { return build("kms-agent", "../../agent") })
)

func build(name, source string) (string, error) {
	binary := filepath.Join(builds, name)
	cmd := exec.Command("go", "build", "-trimpath", "-o", binary, source)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", source, err, out)
	}
	return binary, nil
}

// installed is a program of the distribution.
func installed(t *testing.T, name, fromPackage string) string {
	t.Helper()
	path, err := debian.Program(t.Context(), name, fromPackage)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// process is a program that runs. It is killed at the end of the test, with
// whatever it started.
type process struct {
	*exec.Cmd
	t    *testing.T
	out  *output  // of both streams
	life *os.File // ends when the process and all that it started have ended
}

func start(t *testing.T, env []string, name string, args ...string) *process {
	t.Helper()
	life, held, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	p := &process{exec.Command(name, args...), t, &output{grown: make(chan struct{})}, life}
	p.Env = append(os.Environ(), env...)
	p.Stdout, p.Stderr, p.ExtraFiles = p.out, p.out, []*os.File{held}
	p.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		life.Close()
		if p.ProcessState == nil {
			syscall.Kill(-p.Process.Pid, syscall.SIGKILL)
			p.Wait()
		}
		if t.Failed() {
			t.Logf("%s wrote:\n%s", filepath.Base(name), p.out)
		}
	})
	return p
}

// await waits until the process has written the text once more than a call
// before it, and gives all that it wrote since.
func (p *process) await(text string) string {
	p.t.Helper()
	since, err := p.out.await(text)
	if err != nil {
		p.t.Fatalf("%s: %v", filepath.Base(p.Path), err)
	}
	return since
}

// terminate ends the process as Kubernetes does. It must leave nothing behind.
func (p *process) terminate() {
	p.t.Helper()
	p.Process.Signal(syscall.SIGTERM)
	if err := p.Wait(); err != nil {
		p.t.Errorf("after SIGTERM %s ended with %v", filepath.Base(p.Path), err)
	}
	p.life.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, p.life); err != nil {
		p.t.Errorf("what %s started did not end with it: %v", filepath.Base(p.Path), err)
	}
}

func (p *process) expectNoTraceOf(values ...string) {
	p.t.Helper()
	for _, value := range values {
		if form, found := kmstest.Leak(p.out.String(), value); found {
			p.t.Errorf("%s wrote a value, %s", filepath.Base(p.Path), form)
		}
	}
}

// output is what a process wrote so far.
type output struct {
	mu    sync.Mutex // guards what follows
	text  string
	seen  int           // up to where await has looked
	grown chan struct{} // closed when there is more
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text += string(p)
	close(o.grown)
	o.grown = make(chan struct{})
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text
}

func (o *output) await(text string) (since string, err error) {
	timeout := time.After(patience)
	for {
		since, found, grown := o.next(text)
		if found {
			return since, nil
		}
		select {
		case <-grown:
		case <-timeout:
			return "", fmt.Errorf("%q did not come", text)
		}
	}
}

func (o *output) next(text string) (since string, found bool, grown <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	i := strings.Index(o.text[o.seen:], text)
	if i < 0 {
		return "", false, o.grown
	}
	since = o.text[o.seen : o.seen+i+len(text)]
	o.seen += len(since)
	return since, true, nil
}

// fingerprint is how the applications name a value.
func fingerprint(value string) string {
	sum := sha256.Sum256([]byte(value))
	return hex.EncodeToString(sum[:4])
}
