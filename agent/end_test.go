package main_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/sdk"
)

func TestTheAccessTokenEndsWithTheAgentWhereThatIsAskedFor(t *testing.T) {
	t.Parallel()
	all := newSite(t)
	for _, command := range []string{"run", "init"} {
		for _, revoke := range []bool{true, false} {
			t.Run(fmt.Sprint(command, " ", revoke), func(t *testing.T) {
				t.Parallel()
				s := all.beside(t, fmt.Sprint(command, "-", revoke))
				value := s.Value()
				s.put("A", value)
				tokens := make(chan string, 100)
				s.pod = s.with(t, object{"server": s.overheard(t, tokens), "credentials": object{
					"clientIdFile": s.auth() + "/id", "clientSecretFile": s.auth() + "/secret", "revokeOnExit": revoke}})
				a := s.run(command)
				s.awaitFile("A", value)
				token := <-tokens
				s.Plant(token)
				list := func() error {
					_, err := s.WithToken(token).ListSecrets(sdk.ListSecretsOptions{ProjectID: s.project.ID, Environment: "prod"})
					return err
				}
				if command == "run" {
					if err := list(); err != nil {
						t.Errorf("before the end: %v", err)
					}
					a.terminate()
				} else if err := a.Wait(); err != nil {
					t.Error(err)
				}
				if err := list(); revoke != errors.Is(err, api.ErrUnauthenticated) || !revoke && err != nil {
					t.Errorf("after the end: %v, want it refused: %v", err, revoke)
				}
				s.expectNoTrace(a, value, token)
			})
		}
	}
}

// The token cannot be ended at a server that is away: the agent ends all the
// same, and says so, unless there never was one.
func TestAServerThatIsAwayHoldsUpNoEnd(t *testing.T) {
	t.Parallel()
	for _, there := range []bool{true, false} {
		t.Run(fmt.Sprint("after a login ", there), func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			p := newPod(t, s.URL, "st.good")
			p.config = strings.Replace(p.config, `/secret"}`, `/secret", "revokeOnExit": true}`, 1)
			if !there {
				s.Close()
			}
			a := start(t, command(p, "run"))
			if there {
				awaitContent(t, p.dir+"/A", "canary-1")
				s.Close()
			}
			a.says("refresh failed", "Unreachable")
			a.terminate()
			if warned := strings.Contains(a.log.String(), "access token not revoked"); warned != there {
				t.Errorf("warned: %v, want %v", warned, there)
			}
			if _, err := os.Stat(p.dir + "/A"); there != (err == nil) || !there && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the file: %v", err)
			}
		})
	}
}

// Neither a notification that hangs nor one that is due again holds up the end.
func TestANotificationThatHangsHoldsUpNoEnd(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 8)
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
	}))
	t.Cleanup(hanging.Close)
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	s := newServer(t)
	p := newPod(t, s.URL, "st.good").with(t, object{"notify": []object{
		{"url": hanging.URL, "timeout": "10m"}, {"url": "http://" + silent.Addr().String(), "timeout": "10m"},
		{"command": []string{"/bin/sleep", "600"}, "timeout": "10m"}, {"pidFile": "/none"}}})
	a := start(t, command(p, "run"))
	awaitContent(t, p.dir+"/A", "canary-1")
	s.version.Store(2)
	<-asked
	awaitContent(t, p.dir+"/A", "canary-2")
	// Nor does it hold up the next change.
	s.version.Store(3)
	awaitContent(t, p.dir+"/A", "canary-3")
	a.terminate()
	a.expectCleanLog("canary", "st.good")
}
