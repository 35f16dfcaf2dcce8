package main_test

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
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

// beside is a site on the same server: another project, identity and pod. A
// server takes a second of a processor to start.
func (s *site) beside(t *testing.T, slug string) *site {
	t.Helper()
	project := s.Project(slug)
	who := s.Identity(project, "viewer")
	other := &site{s.Server, newPod(t, s.URL, who.ClientSecret), t, project, who, t.TempDir()}
	other.config = strings.Replace(other.config, `"project": "app"`, fmt.Sprintf(`"project": %q`, slug), 1)
	other.writeCredentials(who)
	return other
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

func (s *site) awaitFile(name, want string) {
	s.t.Helper()
	awaitContent(s.t, filepath.Join(s.dir, name), want)
}

// expectNoTrace fails where a value is in the agent's log, or in any file
// beside its own directory.
func (s *site) expectNoTrace(a *agent, values ...string) {
	s.t.Helper()
	texts := map[string]string{"the log": a.log.String()}
	for _, dir := range []string{s.home, s.auth()} {
		err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() || dir == s.auth() && entry.Name() == "secret" {
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
	a.expectCleanLog(values...)
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
