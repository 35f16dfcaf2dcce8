package apps_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/kmstest"
)

// site is a server with the project that the examples name, and the places of
// an agent and of an application.
type site struct {
	*kmstest.Server
	t            *testing.T
	project      api.Project
	auth         string // the folder of the agent's credentials
	dir, pidFile string
}

func newSite(t *testing.T) *site {
	t.Helper()
	memory, err := os.MkdirTemp("/dev/shm", "kms-apps-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(memory) })
	kms := kmstest.New(t, kmstest.Options{})
	s := &site{kms, t, kms.Project("shop"), t.TempDir(), filepath.Join(memory, "secrets"), filepath.Join(t.TempDir(), "app.pid")}
	who := s.Identity(s.project, "viewer")
	for name, content := range map[string]string{"clientId": who.ClientID, "clientSecret": who.ClientSecret} {
		if err := os.WriteFile(filepath.Join(s.auth, name), []byte(content+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// put sets secrets, all in one change.
func (s *site) put(pairs ...string) {
	s.t.Helper()
	s.Put(s.project, "prod", "/", pairs...)
}

// startAgent starts an agent with a configuration as it is printed, but for
// places and patience, and waits for its files.
func (s *site) startAgent(file string) *process {
	s.t.Helper()
	binary, err := agent()
	if err != nil {
		s.t.Fatal(err)
	}
	config := s.adapted(file, "https://kms.example.com", s.URL, "/kms/auth", s.auth, "/kms/secrets", s.dir,
		"/run/app.pid", s.pidFile, "/run/nginx.pid", s.pidFile, `"version": 1`, `"version": 1, "pollInterval": "1s"`)
	p := start(s.t, []string{"KMS_AGENT_CONFIG=" + config}, binary, "run")
	p.await(`"msg":"secrets written"`)
	return p
}

// adapted is the text of a file with others in the place of some words.
func (s *site) adapted(file string, oldnew ...string) string {
	s.t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.NewReplacer(oldnew...).Replace(string(text))
}

func TestAnApplicationFollowsAChangeOnTheServer(t *testing.T) {
	onAll(t, func(t *testing.T, a application) {
		s := newSite(t)
		first, second, other := s.Value(), s.Value(), s.Value()
		s.put("A", first, "B", other)
		agent := s.startAgent(a.config)
		app := a.start(t, s.dir, s.pidFile)
		app.await("read 2 secrets; changed: \n")
		s.put("A", second)
		app.await("read 2 secrets; changed: A=" + fingerprint(second) + "\n")
		app.terminate()
		agent.terminate()
		app.expectNoTraceOf(first, second, other)
		agent.expectNoTraceOf(first, second, other)
	})
}
