package main_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hanzoai/kms/sdk"
	"github.com/hanzoai/kms/server/kmstest"
)

// mount makes the credentials of the pod a volume of Kubernetes. swap gives it
// new content, both files at once.
func (s *site) mount() (swap func(kmstest.Credentials)) {
	s.t.Helper()
	n := 0
	swap = func(who kmstest.Credentials) {
		s.t.Helper()
		n++
		generation := fmt.Sprint("..generation-", n)
		dir := filepath.Join(s.auth(), generation)
		s.must(os.Mkdir(dir, 0o755),
			os.WriteFile(dir+"/id", []byte(who.ClientID), 0o644),
			os.WriteFile(dir+"/secret", []byte(who.ClientSecret), 0o644),
			os.Symlink(generation, s.auth()+"/..data_tmp"),
			os.Rename(s.auth()+"/..data_tmp", s.auth()+"/..data"))
	}
	swap(s.who)
	for _, name := range []string{"id", "secret"} {
		s.must(os.Remove(s.auth()+"/"+name), os.Symlink("..data/"+name, s.auth()+"/"+name))
	}
	return swap
}

func (s *site) must(steps ...error) {
	s.t.Helper()
	for _, err := range steps {
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

// regenerate makes a client secret that ends all others after a grace.
func (s *site) regenerate(grace int64) kmstest.Credentials {
	s.t.Helper()
	made, err := s.Admin().RegenerateClientSecret(context.Background(), s.who.IdentityID, sdk.ClientSecretInput{}, &grace)
	s.must(err)
	s.Plant(made.Secret.Reveal())
	return kmstest.Credentials{IdentityID: s.who.IdentityID, ClientID: s.who.ClientID, ClientSecret: made.Secret.Reveal()}
}

// revokeAllBut revokes the client secrets but the newest.
func (s *site) revokeAllButNewest() {
	s.t.Helper()
	all, err := s.Admin().ListClientSecrets(context.Background(), s.who.IdentityID)
	s.must(err)
	newest := all[0]
	for _, secret := range all {
		if secret.CreatedAt.After(newest.CreatedAt.Time) {
			newest = secret
		}
	}
	for _, secret := range all {
		if secret.ID != newest.ID {
			_, err := s.Admin().RevokeClientSecret(context.Background(), s.who.IdentityID, secret.ID)
			s.must(err)
		}
	}
}

// audited counts the records of what the agent's identity did.
func (s *site) audited(action string) (n int64) {
	s.t.Helper()
	for record, err := range s.Admin().AllAuditLogs(context.Background(), sdk.AuditQuery{Action: action, ActorID: s.who.IdentityID}) {
		s.must(err)
		n += record.Repeats
	}
	return n
}

// Nothing but the swap makes the agent log in: it asks once an hour.
func TestASwapOfTheCredentialsIsTakenUpAtOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.config = strings.Replace(s.config, `"pollInterval": "1s"`, `"pollInterval": "1h"`, 1)
	swap := s.mount()
	values := []string{s.Value(), s.Value()}
	s.put("A", values[0])
	a := s.run("run")
	s.awaitFile("A", values[0])
	fresh := s.regenerate(3600)
	swap(fresh)
	a.says("logged in with new credentials")
	if n := s.audited("login"); n != 2 {
		t.Errorf("%d logins, want 2", n)
	}
	s.revokeAllButNewest()
	s.put("A", values[1])
	swap(fresh) // anything new is a reason to look
	s.awaitFile("A", values[1])
	if strings.Contains(a.log.String(), "failed") && !strings.Contains(a.log.String(), "notification failed") {
		t.Error("the rotation was not seamless")
	}
	a.terminate()
	s.expectNoTrace(a, append(values, fresh.ClientSecret)...)
}

func TestTheSessionBeforeServesUntilNewCredentialsWork(t *testing.T) {
	tests := []struct {
		name string
		// spoil leaves credentials that do not work, mend those that do.
		spoil, mend func(s *site, fresh kmstest.Credentials)
		says        string
	}{
		{"one file edited after the other",
			func(s *site, fresh kmstest.Credentials) { s.must(s.write("id", fresh.ClientID)) },
			func(s *site, fresh kmstest.Credentials) { s.must(s.write("secret", fresh.ClientSecret)) },
			"status 401"},
		{"emptied for a moment",
			func(s *site, _ kmstest.Credentials) { s.must(s.write("secret", " \n")) },
			func(s *site, fresh kmstest.Credentials) { s.writeCredentials(fresh) },
			"secret is empty"},
		{"removed and written again",
			func(s *site, _ kmstest.Credentials) {
				s.must(os.Remove(s.auth()+"/secret"), os.Remove(s.auth()+"/id"))
			},
			func(s *site, fresh kmstest.Credentials) { s.writeCredentials(fresh) },
			"no such file"},
		{"a directory in the place of a file",
			func(s *site, _ kmstest.Credentials) {
				s.must(os.Remove(s.auth()+"/secret"), os.Mkdir(s.auth()+"/secret", 0o700))
			},
			func(s *site, fresh kmstest.Credentials) {
				s.must(os.Remove(s.auth() + "/secret"))
				s.writeCredentials(fresh)
			},
			"is a directory"},
	}
	all := newSite(t)
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := all.beside(t, fmt.Sprint("app-", i))
			values := []string{s.Value(), s.Value(), s.Value()}
			s.put("A", values[0])
			a := s.run("run")
			s.awaitFile("A", values[0])
			other := s.Identity(s.project, "viewer") // another id, and another secret

			test.spoil(s, other)
			a.says("new credentials are not accepted", "AuthFailed", test.says)
			s.put("A", values[1])
			s.awaitFile("A", values[1])
			if logins := s.audited("login"); logins != 1 {
				t.Errorf("%d logins of the identity of before, want 1", logins)
			}

			test.mend(s, other)
			a.says("logged in with new credentials")
			_, err := s.Admin().DeleteIdentity(t.Context(), s.who.IdentityID)
			s.must(err)
			s.put("A", values[2])
			s.awaitFile("A", values[2])
			if strings.Contains(a.log.String(), "refresh failed") {
				t.Error("a refresh failed although one of both always worked")
			}
			a.terminate()
			s.expectNoTrace(a, append(values, other.ClientSecret)...)
		})
	}
}

func (s *site) write(name, content string) error {
	return os.WriteFile(filepath.Join(s.auth(), name), []byte(content), 0o600)
}

func TestAThousandChangesOfACredentialAreAFewLogins(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	p := newPod(t, s.URL, "st.good")
	a := start(t, command(p, "run"))
	awaitContent(t, p.dir+"/A", "canary-1")
	secret := filepath.Join(filepath.Dir(p.pidFile), "secret")
	for range 1000 {
		if err := errors.Join(os.WriteFile(secret+".new", []byte("st.good"), 0o600), os.Rename(secret+".new", secret)); err != nil {
			t.Fatal(err)
		}
	}
	a.says("logged in with new credentials")
	s.version.Store(2)
	awaitContent(t, p.dir+"/A", "canary-2")
	if n := s.logins.Load(); n < 2 || n > 50 {
		t.Errorf("%d logins, want a few", n)
	}
	a.terminate()
}

// While the agent is stopped, more happens in the directory than the kernel
// keeps for it.
func TestEventsThatAreLostAreMadeUpForByALook(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	p := newPod(t, s.URL, "st.good")
	p.config = strings.Replace(p.config, `"pollInterval": "1s"`, `"pollInterval": "1h"`, 1)
	a := start(t, command(p, "run"))
	awaitContent(t, p.dir+"/A", "canary-1")
	a.Process.Signal(syscall.SIGSTOP)
	dir := filepath.Dir(p.pidFile)
	text, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	if err != nil {
		t.Fatal(err)
	}
	most := 0
	fmt.Sscan(string(text), &most)
	for n := 0; n < most; n += 2 { // made and renamed: more than two events each
		if err := errors.Join(os.WriteFile(dir+"/new", nil, 0o600), os.Rename(dir+"/new", dir+"/old")); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(dir+"/secret", []byte(" st.good "), 0o600); err != nil {
		t.Fatal(err)
	}
	s.version.Store(2)
	a.Process.Signal(syscall.SIGCONT)
	awaitContent(t, p.dir+"/A", "canary-2")
	a.terminate()
}
