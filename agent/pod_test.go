package main_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

type object = map[string]any

// with gives the pod another configuration: fields of it, nil for none.
func (p pod) with(t *testing.T, changes object) pod {
	t.Helper()
	all := object{}
	if err := json.Unmarshal([]byte(p.config), &all); err != nil {
		t.Fatal(err)
	}
	maps.Copy(all, changes)
	maps.DeleteFunc(all, func(_ string, value any) bool { return value == nil })
	text, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	p.config = string(text)
	return p
}

// listen is the address that the agent of the pod listens on.
func (p pod) listen(t *testing.T) string {
	t.Helper()
	var c struct{ Listen string }
	if err := json.Unmarshal([]byte(p.config), &c); err != nil {
		t.Fatal(err)
	}
	return c.Listen
}

// forExec is the pod with a configuration for exec: variables and no files.
func (p pod) forExec(t *testing.T, how object) pod {
	t.Helper()
	return p.with(t, object{"notify": nil, "outputs": nil, "exec": how})
}

// supervise starts the agent with a shell script as its command. What the
// script prints is in the log too.
func (p pod) supervise(t *testing.T, script string, args ...string) *agent {
	t.Helper()
	cmd := command(p, append([]string{"exec", "-log-level", "debug", "-timeout", "30s", "--", "bash", "-c", script}, args...)...)
	cmd.Env = append(cmd.Env, "PATH="+os.Getenv("PATH"))
	return startOpen(t, cmd)
}

// startOpen starts an agent whose command can wait for what is never said on
// its stdin, and leaves no process behind.
func startOpen(t *testing.T, cmd *exec.Cmd) *agent {
	t.Helper()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	a := start(t, cmd)
	t.Cleanup(func() { stdin.Close() }) // before the end of the agent is awaited
	return a
}

// ending is a command that says what it has, and ends in its own way on the
// signal.
func ending(signal string) string {
	return `trap 'echo bye $A; exit 7' ` + signal + `; echo up $A; read x`
}

// ends waits for the end of the agent and compares its exit code.
func (a *agent) ends(code int, words ...string) {
	a.t.Helper()
	a.WaitDelay = time.Minute // where something of it is left
	a.Wait()
	if got := a.ProcessState.ExitCode(); got != code {
		a.t.Errorf("exit code %d, want %d", got, code)
	}
	if len(words) > 0 {
		a.says(words...)
	}
}

// endsOn signals the agent and waits for its end.
func (a *agent) endsOn(signal syscall.Signal, code int) {
	a.t.Helper()
	a.Process.Signal(signal)
	a.ends(code)
}

// sibling is another pod of the same identity on the same server.
func (s *site) sibling(t *testing.T) *site {
	t.Helper()
	other := *s
	other.t, other.pod, other.home = t, newPod(t, s.URL, ""), t.TempDir()
	other.writeCredentials(s.who)
	return &other
}

// polls waits until the server has said so often that nothing is new.
func (s *site) polls(n int64) {
	s.t.Helper()
	unchanged := &s.App().Service().Unchanged
	end := unchanged.Load() + n
	waitFor(s.t, "polls that find nothing new", func() bool { return unchanged.Load() >= end })
}

// childOf is the process id of the one child.
func childOf(t *testing.T, parent int) (pid int) {
	t.Helper()
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", parent))
	var all string
	for _, name := range threads {
		text, _ := os.ReadFile(name)
		all += string(text)
	}
	if _, err := fmt.Sscan(all, &pid); err != nil {
		t.Fatalf("there is no child: %q", all)
	}
	return pid
}

// freeAddress is a loopback address that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// get asks an agent that listens on an address.
func get(t *testing.T, address, path string) (status int, body string) {
	t.Helper()
	response, err := http.Get("http://" + address + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(data)
}

// overheard is the address of a proxy that tells the tokens that it sees.
func (s *site) overheard(t *testing.T, tokens chan<- string) string {
	t.Helper()
	target, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); found {
			tokens <- token
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	return front.URL
}

// stranger is a user that nothing here belongs to.
const stranger = 65532

// forStranger makes a pod in which the agent can run as another user, where
// this one is root.
func (s *site) forStranger(t *testing.T, credentials bool) pod {
	t.Helper()
	if os.Getuid() != 0 {
		return s.pod
	}
	p := newPod(t, s.URL, "")
	open := openDir(t)
	if err := os.Chmod(filepath.Dir(p.dir), 0o777); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"id": s.who.ClientID, "secret": s.who.ClientSecret} {
		if !credentials {
			content = "none"
		}
		file := filepath.Join(open, name)
		if err := os.WriteFile(file, []byte(content), 0o400); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(file, stranger, stranger); err != nil {
			t.Fatal(err)
		}
	}
	p.pidFile = filepath.Join(open, "app.pid")
	return p.with(t, object{"credentials": object{"clientIdFile": open + "/id", "clientSecretFile": open + "/secret"}})
}

// openDir is a directory that everybody may enter, with the agent in it.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "kms-agent-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(binary, "install", dir).CombinedOutput(); err != nil {
		t.Fatalf("install: %v, %s", err, out)
	}
	return dir
}

// binary is the agent, where a stranger can run it.
func (p pod) binary() string {
	if os.Getuid() != 0 {
		return binary
	}
	return filepath.Join(filepath.Dir(p.pidFile), "kms-agent")
}

// asStranger makes a command one of another user.
func (p pod) asStranger(cmd *exec.Cmd) *exec.Cmd {
	if os.Getuid() == 0 {
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: stranger, Gid: stranger}}
	}
	return cmd
}
