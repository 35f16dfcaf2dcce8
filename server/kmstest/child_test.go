package kmstest_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/hanzoai/kms/internal/pgtest"
	"github.com/hanzoai/kms/sdk"
	"github.com/hanzoai/kms/server/kmstest"
)

// program is a built kms-server with its keys and its database.
type program struct {
	t    *testing.T
	path string
	env  []string
	args []string
}

func newProgram(t *testing.T, engine string) *program {
	t.Helper()
	p := &program{t: t, path: filepath.Join(t.TempDir(), "kms-server")}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", p.path, "github.com/hanzoai/kms/server").CombinedOutput(); err != nil {
		t.Fatalf("build kms-server: %v\n%s", err, out)
	}
	keys, err := exec.CommandContext(t.Context(), p.path, "keygen").Output()
	if err != nil {
		t.Fatal(err)
	}
	p.env = append(os.Environ(), strings.Fields(string(keys))...)
	if engine == kmstest.Postgres {
		p.env = append(p.env, "DB_CONNECTION_URI="+pgtest.URI(t))
	} else {
		p.args = []string{"-data", t.TempDir()}
	}
	return p
}

// command runs the program to its end and gives what it printed.
func (p *program) command(words ...string) (string, error) {
	cmd := exec.CommandContext(p.t.Context(), p.path, append(words, p.args...)...)
	cmd.Env = p.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// child is a running server.
type child struct {
	cmd  *exec.Cmd
	url  string
	done chan struct{} // closed once it has ended
	err  error         // how, when done is closed
}

// start starts a server and returns once it serves. It is killed when the test
// is over, if it still runs.
func (p *program) start() *child {
	p.t.Helper()
	c, err := p.launch()
	if err != nil {
		p.t.Fatal(err)
	}
	return c
}

func (p *program) launch() (*child, error) {
	cmd := exec.Command(p.path, append([]string{"-listen", "127.0.0.1:0", "-admin-listen", ""}, p.args...)...)
	cmd.Env = p.env
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &child{cmd: cmd, done: make(chan struct{})}
	p.t.Cleanup(c.kill)
	lines := bufio.NewScanner(stdout)
	for c.url == "" && lines.Scan() {
		var line struct{ Msg, Address string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "serving" {
			c.url = "http://" + line.Address
		}
	}
	go func() {
		for lines.Scan() { // it must not block on a full pipe
		}
		c.err = cmd.Wait()
		close(c.done)
	}()
	if c.url == "" {
		<-c.done
		return nil, fmt.Errorf("kms-server does not serve: %w\n%s", c.err, &stderr)
	}
	return c, nil
}

// kill ends the server without a word.
func (c *child) kill() {
	_ = c.cmd.Process.Signal(syscall.SIGKILL)
	<-c.done
}

// setUp makes an organisation, a project and a client that may do all.
func (c *child) setUp(t *testing.T) (admin *sdk.Client, token, projectID string) {
	t.Helper()
	done, err := sdk.NewClient(sdk.Config{SiteURL: c.url, MaxRetries: -1}).Bootstrap(t.Context(), sdk.BootstrapInput{Email: "a@example.com", Password: "correct horse battery", Organization: "test"})
	if err != nil {
		t.Fatal(err)
	}
	token = done.Token.Reveal()
	admin = c.client(token)
	project, err := admin.CreateProject(t.Context(), sdk.ProjectInput{Name: "shop", Slug: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	return admin, token, project.ID
}

func (c *child) client(token string) *sdk.Client {
	return sdk.NewClient(sdk.Config{SiteURL: c.url, AccessToken: token, MaxRetries: -1})
}

// reply is an answer as it came.
type reply struct {
	status     int
	requestID  string
	retryAfter string
	body       []byte
}

// call sends a request with a JSON body, nil for none.
func call(ctx context.Context, method, url, token string, body any) (r reply, err error) {
	var payload io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return r, err
		}
		payload = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, payload)
	if err != nil {
		return r, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return r, err
	}
	defer resp.Body.Close()
	r = reply{status: resp.StatusCode, requestID: resp.Header.Get("X-Request-Id"), retryAfter: resp.Header.Get("Retry-After")}
	r.body, err = io.ReadAll(resp.Body)
	return r, err
}

// fleet is where clients find a server that lives.
type fleet struct {
	mu   sync.Mutex
	urls []string
}

func (f *fleet) set(urls ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.urls = urls
}

func (f *fleet) url(n int) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.urls[n%len(f.urls)]
}
