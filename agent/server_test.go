package main_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/sdk"
	"github.com/hanzoai/kms/server/kmstest"
)

// app is the sample application, built once.
var app = sync.OnceValues(func() (string, error) {
	name := filepath.Join(filepath.Dir(binary), "reload-app")
	out, err := exec.Command("go", "build", "-o", name, "../examples/apps/go").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("build reload-app: %w\n%s", err, out)
	}
	return name, err
})

// site is a server with one project, and the pod of an agent of it.
type site struct {
	*kmstest.Server
	pod
	t       *testing.T
	project api.Project
	who     kmstest.Credentials
	home    string // whatever the agent would write beside its directory
}

func newSite(t *testing.T) *site {
	t.Helper()
	kms := kmstest.New(t, kmstest.Options{})
	project := kms.Project("app")
	who := kms.Identity(project, "viewer")
	s := &site{kms, newPod(t, kms.URL, who.ClientSecret), t, project, who, t.TempDir()}
	s.writeCredentials(who)
	return s
}

func (s *site) auth() string { return filepath.Dir(s.pidFile) }

func (s *site) writeCredentials(who kmstest.Credentials) {
	s.t.Helper()
	for name, content := range map[string]string{"id": who.ClientID, "secret": who.ClientSecret} {
		if err := os.WriteFile(filepath.Join(s.auth(), name), []byte(content+"\n"), 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *site) put(pairs ...string) { s.t.Helper(); s.Put(s.project, "prod", "/", pairs...) }

func (s *site) scope(environment, path string) sdk.Scope {
	return sdk.Scope{ProjectID: s.project.ID, Environment: environment, SecretPath: path}
}

// log is what a process wrote so far.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// agent is an agent that runs. It is killed at the end of the test unless it
// ended before.
type agent struct {
	*exec.Cmd
	log *log
	t   *testing.T
}

func (s *site) run(args ...string) *agent {
	s.t.Helper()
	cmd, _ := s.command(args...)
	a := &agent{cmd, &log{}, s.t}
	cmd.Stdout, cmd.Stderr = a.log, a.log
	cmd.Dir = s.home
	cmd.Env = append(cmd.Env, "HOME="+s.home, "TMPDIR="+s.home)
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if cmd.ProcessState == nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
		if s.t.Failed() {
			s.t.Logf("the agent's log:\n%s", a.log)
		}
	})
	return a
}

// says waits for a line of the agent's log that holds all words.
func (a *agent) says(words ...string) {
	a.t.Helper()
	waitFor(a.t, fmt.Sprintf("a line with %q", words), func() bool {
		for line := range strings.Lines(a.log.String()) {
			if !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(line, word) }) {
				return true
			}
		}
		return false
	})
}

// terminate ends the agent as Kubernetes does.
func (a *agent) terminate() {
	a.t.Helper()
	a.Process.Signal(syscall.SIGTERM)
	if err := a.Wait(); err != nil {
		a.t.Errorf("after SIGTERM the agent ended with %v", err)
	}
}

func (s *site) awaitFile(name, want string) {
	s.t.Helper()
	waitFor(s.t, name+" with its new content", func() bool {
		got, err := os.ReadFile(filepath.Join(s.dir, name))
		return err == nil && string(got) == want
	})
}

// expectNoTrace fails where a value is in the agent's log, or in any file
// beside its own directory.
func (s *site) expectNoTrace(a *agent, values ...string) {
	s.t.Helper()
	texts := map[string]string{"the log": a.log.String()}
	for _, dir := range []string{s.home, s.auth()} {
		err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || name == filepath.Join(s.auth(), "secret") {
				return err
			}
			text, err := os.ReadFile(name)
			texts[name] = string(text)
			return err
		})
		if err != nil {
			s.t.Error(err)
		}
	}
	for where, text := range texts {
		for _, value := range values {
			if form, found := kmstest.Leak(text, value); found {
				s.t.Errorf("%s holds a value, %s", where, form)
			}
		}
	}
	if strings.Contains(texts["the log"], s.who.ClientSecret) {
		s.t.Error("the log holds the client secret")
	}
}

// startApp starts the sample application; each line it prints is a reading.
func (s *site) startApp() (lines <-chan string) {
	s.t.Helper()
	name, err := app()
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(name, s.dir, s.pidFile)
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	all := make(chan string, 64)
	go func() {
		defer close(all)
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			all <- scanner.Text()
		}
	}()
	s.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return all
}

func fingerprint(value string) string {
	sum := sha256.Sum256([]byte(value))
	return hex.EncodeToString(sum[:4])
}

// changes are the key=fingerprint pairs of a reading of the sample application.
func changes(line string) []string {
	_, list, _ := strings.Cut(line, "changed: ")
	return slices.DeleteFunc(strings.Fields(list), func(word string) bool { return strings.HasPrefix(word, ".env=") })
}

func expectReading(t *testing.T, what string, lines <-chan string, want ...string) {
	t.Helper()
	if got := changes(<-lines); !slices.Equal(got, want) {
		t.Errorf("%s: the application saw the changes %q, want %q", what, got, want)
	}
}

func TestEveryChangeOnTheServerReachesTheApplicationAndNothingElseDoes(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	first, second, third := s.Value(), s.Value(), s.Value()
	for _, name := range []string{"shared", "other"} {
		if _, err := s.Admin().CreateFolder(t.Context(), s.scope("prod", "/"), name, ""); err != nil {
			t.Fatal(err)
		}
	}
	s.Put(s.project, "prod", "/shared", "HOST", first)
	s.put("A", first, "GONE", second, "URL", "https://${prod.shared.HOST}/")
	a := s.run("run")
	s.awaitFile("A", first)
	expectFile(t, s.dir+"/URL", "https://"+first+"/")
	lines := s.startApp()
	expectReading(t, "at its start", lines)

	s.put("A", third)
	expectReading(t, "a changed value", lines, "A="+fingerprint(third))

	s.Put(s.project, "prod", "/shared", "HOST", second)
	expectReading(t, "a changed target of a reference", lines, "URL="+fingerprint("https://"+second+"/"))

	if _, err := s.Admin().Delete(t.Context(), s.scope("prod", "/"), "GONE"); err != nil {
		t.Fatal(err)
	}
	expectReading(t, "a deleted key", lines)
	if _, err := os.Stat(s.dir + "/GONE"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file of a deleted key: %v, want none", err)
	}

	// What follows is not the agent's business: other places, and no change.
	generation, err := os.Readlink(s.dir + "/..data")
	if err != nil {
		t.Fatal(err)
	}
	s.Put(s.project, "dev", "/", "A", s.Value())
	s.Put(s.project, "prod", "/other", "B", s.Value())
	polls := s.App().Service().Unchanged.Load()
	waitFor(t, "two polls that find nothing new", func() bool { return s.App().Service().Unchanged.Load() >= polls+2 })
	if now, err := os.Readlink(s.dir + "/..data"); now != generation {
		t.Errorf("without a change the files were written again: %s, %v, want %s", now, err, generation)
	}
	a.terminate()
	if len(lines) != 0 {
		t.Errorf("the application was told once too often: %q", <-lines)
	}
	expectFile(t, s.dir+"/A", third)
	s.expectNoTrace(a, first, second, third)
}

func TestAnAgentOutlivesItsServerAndItsCredentials(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	values := []string{s.Value(), s.Value(), s.Value(), s.Value()}
	s.put("A", values[0])
	a := s.run("run")
	s.awaitFile("A", values[0])

	// The server is away, and comes back at the same address.
	s.Config.Listen = strings.TrimPrefix(s.URL, "http://")
	s.Stop()
	a.says("refresh failed", "Unreachable")
	expectFile(t, s.dir+"/A", values[0])
	s.Start()
	s.put("A", values[1])
	s.awaitFile("A", values[1])
	a.says("refresh recovered")

	// The client secret is revoked; the one in the file is taken up.
	admin := s.Admin()
	secrets, err := admin.ListClientSecrets(t.Context(), s.who.IdentityID)
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := admin.CreateClientSecret(t.Context(), s.who.IdentityID, sdk.ClientSecretInput{})
	if err != nil {
		t.Fatal(err)
	}
	s.Plant(fresh.Secret.Reveal())
	if _, err := admin.RevokeClientSecret(t.Context(), s.who.IdentityID, secrets[0].ID); err != nil {
		t.Fatal(err)
	}
	a.says("refresh failed", "AuthFailed")
	expectFile(t, s.dir+"/A", values[1])
	s.put("A", values[2])
	s.writeCredentials(kmstest.Credentials{ClientID: s.who.ClientID, ClientSecret: fresh.Secret.Reveal()})
	s.awaitFile("A", values[2])

	// It loses its place in the project, and then itself.
	if _, err := admin.RemoveIdentityFromProject(t.Context(), s.project.ID, s.who.IdentityID); err != nil {
		t.Fatal(err)
	}
	a.says("refresh failed", "Forbidden")
	if _, err := admin.DeleteIdentity(t.Context(), s.who.IdentityID); err != nil {
		t.Fatal(err)
	}
	s.put("A", values[3])
	waitFor(t, "a second AuthFailed", func() bool { return strings.Count(a.log.String(), `"AuthFailed"`) == 2 })
	expectFile(t, s.dir+"/A", values[2])
	a.terminate()
	expectFile(t, s.dir+"/A", values[2])
	s.expectNoTrace(a, append(values, fresh.Secret.Reveal())...)
}

func TestInitOnARealServerEndsWithTheCodeOfItsReason(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	value := s.Value()
	s.put("A", value)
	tests := []struct {
		name   string
		who    kmstest.Credentials
		change [2]string // of the configuration
		want   int
		says   string
	}{
		{"a member", s.who, [2]string{}, 0, "secrets written"},
		{"a wrong client secret", kmstest.Credentials{ClientID: s.who.ClientID, ClientSecret: "st.canary-of-this-test"}, [2]string{}, 3, "AuthFailed"},
		{"an identity that is no member", s.Identity(s.project, ""), [2]string{}, 5, "Forbidden"},
		{"an unknown environment", s.who, [2]string{`"prod"`, `"qa"`}, 6, "NotFound"},
		{"an unknown project", s.who, [2]string{`"project": "app"`, `"project": "none"`}, 6, "NotFound"},
		{"a folder without secrets", s.who, [2]string{`"prod"`, `"dev"`}, 6, "NotFound"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := *s
			s.t, s.pod = t, newPod(t, s.URL, "")
			s.writeCredentials(test.who)
			s.config = strings.Replace(s.config, test.change[0], test.change[1], 1)
			a := s.run("init", "-timeout", "1s")
			a.Wait()
			if got := a.ProcessState.ExitCode(); got != test.want || !strings.Contains(a.log.String(), test.says) {
				t.Errorf("exit code %d, want %d and %q", got, test.want, test.says)
			}
			if test.want == 0 {
				expectFile(t, s.dir+"/A", value)
			} else if _, err := os.Stat(s.dir + "/..data"); err == nil {
				t.Error("files were written")
			}
			s.expectNoTrace(a, value, "st.canary-of-this-test")
		})
	}
}

// isolated is set in a process that has no network but loopback.
const isolated = "KMS_TEST_ISOLATED"

// TestServerSDKAndAgentNeedNoNetworkButTheirOwn runs itself once more in a
// network that leads nowhere, where the kernel counts what has no route.
func TestServerSDKAndAgentNeedNoNetworkButTheirOwn(t *testing.T) {
	if os.Getenv(isolated) == "" {
		if os.Getuid() != 0 {
			t.Skip("only root can make a network of its own")
		}
		again := exec.Command("unshare", "--net", "--", "sh", "-c", `ip link set lo up && exec "$0" "$@"`,
			os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		again.Env = append(os.Environ(), isolated+"=1")
		out, err := again.CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
			t.Errorf("on a network with no way out: %v\n%s", err, out)
		}
		return
	}
	s := newSite(t)
	value := s.Value()
	s.put("A", value)
	a := s.run("run")
	s.awaitFile("A", value)
	secrets, err := s.Client(s.who).ListSecrets(sdk.ListSecretsOptions{ProjectSlug: "app", Environment: "prod"})
	if err != nil || len(secrets) != 1 || secrets[0].SecretValue != value {
		t.Errorf("list: %v, %v", secrets, err)
	}
	a.terminate()
	s.Stop()
	if n := unroutable(t); n != 0 {
		t.Errorf("%d packets or connections wanted to leave this machine, want none", n)
	}
	// The counter would have seen one.
	sdk.NewClient(sdk.Config{SiteURL: "http://192.0.2.1", AccessToken: "none", MaxRetries: -1}).Status(t.Context())
	if unroutable(t) == 0 {
		t.Error("a connection that leaves this machine was not counted")
	}
}

// unroutable is the kernel's count of what this network had no route for.
func unroutable(t *testing.T) (n int) {
	t.Helper()
	text, err := os.ReadFile("/proc/net/snmp")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		switch {
		case fields[0] != "Ip:":
		case names == nil:
			names = fields
		default:
			n, err = strconv.Atoi(fields[slices.Index(names, "OutNoRoutes")])
		}
	}
	text6, _ := os.ReadFile("/proc/net/snmp6") // not there without IPv6
	for line := range strings.Lines(string(text6)) {
		if fields := strings.Fields(line); fields[0] == "Ip6OutNoRoutes" {
			n6, _ := strconv.Atoi(fields[1])
			n += n6
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}
