package main_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hanzoai/kms/internal/transcript"
	"github.com/hanzoai/kms/sdk"
	"github.com/hanzoai/kms/server/kmstest"
)

// agent is an agent that runs. It is killed at the end of the test unless it
// ended before.
type agent struct {
	*exec.Cmd
	log *transcript.Transcript
	t   *testing.T
}

func (s *site) run(args ...string) *agent {
	s.t.Helper()
	cmd, _ := s.command(args...)
	cmd.Dir = s.home
	cmd.Env = append(cmd.Env, "HOME="+s.home, "TMPDIR="+s.home)
	return start(s.t, cmd)
}

func start(t *testing.T, cmd *exec.Cmd) *agent {
	t.Helper()
	a := &agent{cmd, &transcript.Transcript{}, t}
	cmd.Stdout, cmd.Stderr = a.log, a.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
		if t.Failed() {
			t.Logf("the agent's log:\n%s", a.log)
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

// expectCleanLog fails where a line of the log is not JSON, is long, or holds
// one of the values.
func (a *agent) expectCleanLog(values ...string) {
	a.t.Helper()
	for line := range strings.Lines(a.log.String()) {
		ended := strings.HasPrefix(line, "kms-agent: ") // the last words of a process
		if len(line) > 2<<10 || !ended && !json.Valid([]byte(line)) {
			a.t.Errorf("a line of the log is long or not JSON: %.100q", line)
		}
		for _, value := range values {
			if form, found := kmstest.Leak(line, value); found {
				a.t.Errorf("the log holds a value, %s: %s", form, line)
			}
		}
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
