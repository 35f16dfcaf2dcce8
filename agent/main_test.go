package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	stdlog "log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hanzoai/kms/api"
)

// binary is the agent as it is shipped, built once.
var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	flag.Set("test.parallel", "8") // they wait for other processes most of the time
	dir, err := os.MkdirTemp("", "kms-agent-")
	if err == nil {
		binary = filepath.Join(dir, "kms-agent")
		build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, ".")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		build.Stderr = os.Stderr
		err = build.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// server is a KMS with one secret, A, whose value is its version.
type server struct {
	*httptest.Server
	version atomic.Int64
	status  atomic.Int64                     // of every list; 0: success
	fault   atomic.Pointer[http.HandlerFunc] // answers every list instead
	lists   atomic.Int64
	logins  atomic.Int64
	ended   atomic.Int64 // tokens of logins up to this one are not taken any more
}

func newServer(t *testing.T) *server {
	s := &server{}
	s.version.Store(1)
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/login") {
		s.logIn(w, r)
		return
	}
	s.lists.Add(1)
	fault := s.fault.Load()
	var login int64
	fmt.Sscanf(r.Header.Get("Authorization"), "Bearer canary-token-%d", &login)
	switch {
	case login <= s.ended.Load():
		fail(w, http.StatusUnauthorized)
	case fault != nil:
		(*fault)(w, r)
	case s.status.Load() != 0:
		fail(w, int(s.status.Load()))
	default:
		s.answer(w, r)
	}
}

// answer is the list as it should be.
func (s *server) answer(w http.ResponseWriter, r *http.Request) {
	version := s.version.Load()
	tag := fmt.Sprintf(`"%d"`, version)
	w.Header().Set("ETag", tag)
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	fmt.Fprintf(w, `{"secrets":[{"secretKey":"A","secretValue":"canary-%d","secretPath":"/","version":%d,"createdAt":"2026-01-02T03:04:05Z","updatedAt":"2026-01-02T03:04:05Z"}],"imports":[]}`, version, version)
}

func (s *server) logIn(w http.ResponseWriter, r *http.Request) {
	var login struct{ ClientID, ClientSecret string }
	json.NewDecoder(r.Body).Decode(&login)
	if login.ClientSecret != "st.good" {
		fail(w, http.StatusUnauthorized)
		return
	}
	token := fmt.Sprintf("canary-token-%d", s.logins.Add(1))
	json.NewEncoder(w).Encode(api.Login{AccessToken: token, ExpiresIn: 7200, AccessTokenMaxTTL: 7200})
}

// discard takes what servers say of connections that end.
var discard = stdlog.New(io.Discard, "", 0)

func fail(w http.ResponseWriter, status int) {
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(api.Error{Message: "as the test asked", StatusCode: status, Name: http.StatusText(status)})
}

// pod is what an agent finds around it.
type pod struct{ dir, config, pidFile string }

func newPod(t *testing.T, serverURL, secret string) pod {
	t.Helper()
	memory, err := os.MkdirTemp("/dev/shm", "kms-agent-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(memory) })
	auth := t.TempDir()
	for name, content := range map[string]string{"id": "client-id\n", "secret": secret + "\n"} {
		if err := os.WriteFile(filepath.Join(auth, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := pod{dir: memory + "/secrets", pidFile: filepath.Join(auth, "app.pid")}
	p.config = fmt.Sprintf(`{"version": 1, "server": %q, "directory": %q, "outputs": [{}, {"format": "dotenv", "file": ".env"}],
		"pollInterval": "1s", "debounce": "0s",
		"credentials": {"clientIdFile": "%s/id", "clientSecretFile": "%s/secret"},
		"sources": [{"project": "app", "environment": "prod"}], "notify": [{"pidFile": %q}]}`, serverURL, p.dir, auth, auth, p.pidFile)
	return p
}

// command is an agent of the pod, to start.
func command(p pod, args ...string) *exec.Cmd {
	cmd, _ := p.command(args...)
	return cmd
}

func (p pod) command(args ...string) (*exec.Cmd, *bytes.Buffer) {
	cmd := exec.Command(binary, args...)
	cmd.Env = []string{"KMS_AGENT_CONFIG=" + p.config}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	return cmd, &out
}

func TestInitWritesTheFilesAndEndsWithTheCodeOfItsReason(t *testing.T) {
	tests := []struct {
		name   string
		secret string
		status int64
		change func(*pod)
		want   int
		says   string
	}{
		{"all is well", "st.good", 0, nil, 0, "secrets written"},
		{"no configuration", "st.good", 0, func(p *pod) { p.config = "" }, 2, "BadConfig: configuration: there is no configuration"},
		{"a wrong configuration", "st.good", 0, func(p *pod) { p.config = strings.Replace(p.config, "outputs", "output", 1) }, 2, `did you mean "outputs"?`},
		{"a directory on disk", "st.good", 0, func(p *pod) { p.config = strings.Replace(p.config, p.dir, "/proc/self", 1) }, 2, "not on a tmpfs"},
		{"a wrong secret", "st.canary", 0, nil, 3, "AuthFailed"},
		{"an empty secret", "", 0, nil, 3, "AuthFailed: read app prod:/: read clientSecretFile"},
		{"a server that is away", "st.good", 503, nil, 4, "Unreachable"},
		{"a refusal", "st.good", 403, nil, 5, "Forbidden"},
		{"no such project", "st.good", 404, nil, 6, "NotFound"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := newServer(t)
			s.status.Store(test.status)
			p := newPod(t, s.URL, test.secret)
			if test.change != nil {
				test.change(&p)
			}
			cmd, out := p.command("init", "-timeout", "1s")
			err := cmd.Run()
			if got := cmd.ProcessState.ExitCode(); got != test.want || !strings.Contains(out.String(), test.says) {
				t.Errorf("exit code %d (%v), %s, want %d and %q", got, err, out, test.want, test.says)
			}
			if strings.Contains(out.String(), "canary") {
				t.Errorf("a secret is printed: %s", out)
			}
			if test.want == 0 {
				expectFile(t, p.dir+"/A", "canary-1")
				expectFile(t, p.dir+"/.env", "A=canary-1\n")
			}
		})
	}
}

func TestRunFollowsAChangeSignalsTheApplicationAndEndsOnSIGTERM(t *testing.T) {
	s := newServer(t)
	p := newPod(t, s.URL, "st.good")
	hangups := make(chan os.Signal, 8) // this test is the application
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	if err := os.WriteFile(p.pidFile, []byte(fmt.Sprint(os.Getpid())), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd, out := p.command("run")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the files", func() bool { _, err := os.Stat(p.dir + "/A"); return err == nil })
	expectFile(t, p.dir+"/A", "canary-1")
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", cmd.Process.Pid))
	if err != nil || !strings.Contains(strings.Join(strings.Fields(string(limits)), " "), "Max core file size 0 0") {
		t.Errorf("core dumps are not off: %v", err)
	}
	s.version.Store(2)
	<-hangups
	expectFile(t, p.dir+"/A", "canary-2")
	s.status.Store(503)
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("run ended with %v", err)
	}
	expectFile(t, p.dir+"/A", "canary-2")
	if strings.Contains(out.String(), "canary") || len(hangups) != 0 {
		t.Errorf("%d more signals, log %s", len(hangups), out)
	}
}

func TestRunEndsAtOnceOnSIGTERMBeforeAnythingIsThere(t *testing.T) {
	hang := make(chan struct{})
	asked := make(chan struct{}, 8)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-hang
	}))
	defer s.Close()
	defer close(hang)
	p := newPod(t, s.URL, "st.good")
	last := filepath.Join(t.TempDir(), "termination-log")
	if err := os.WriteFile(last, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p.config = strings.Replace(p.config, `"version": 1,`, fmt.Sprintf(`"version": 1, "terminationLog": %q,`, last), 1)
	cmd, out := p.command("run")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-asked
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Errorf("run ended with %v: %s", err, out)
	}
	expectFile(t, last, "the secrets are not there yet\n")
}

func TestACommandLineThatIsWrongEndsWithTwo(t *testing.T) {
	for _, args := range [][]string{{}, {"rum"}, {"init", "-bogus"}, {"run", "-timeout", "1s"}} {
		err := exec.Command(binary, args...).Run()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 2 {
			t.Errorf("kms-agent %q: %v, want exit code 2", args, err)
		}
	}
	for _, args := range [][]string{{"-h"}, {"run", "-h"}, {"version"}} {
		if out, err := exec.Command(binary, args...).Output(); err != nil || len(out) == 0 {
			t.Errorf("kms-agent %q: %q, %v", args, out, err)
		}
	}
}

func expectFile(t *testing.T, name, want string) {
	t.Helper()
	if got, err := os.ReadFile(name); err != nil || string(got) != want {
		t.Errorf("%s holds %q, %v, want %q", name, got, err, want)
	}
}

func awaitContent(t *testing.T, name, want string) {
	t.Helper()
	waitFor(t, name+" with its new content", func() bool {
		got, err := os.ReadFile(name)
		return err == nil && string(got) == want
	})
}

// waitFor waits for what another process does; the bound only ends a test that
// would hang.
func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !done(); {
		if time.Now().After(end) {
			t.Fatalf("%s did not come", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
