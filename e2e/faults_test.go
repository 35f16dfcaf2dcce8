//go:build e2e

package e2e_test

import (
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/hanzoai/kms/api"
)

// fault is how a server, or what stands before it, can fail.
type fault struct {
	name, reason string // the reason is how the agent's last words begin
	begin        func(*gate)
	silent       bool // nothing is said of it for as long as a test lasts
}

func answers(code int) func(*gate) { return func(g *gate) { g.shut(code) } }

var faults = []fault{
	{"away", "Unreachable", (*gate).hangUp, false},
	{"silent", "the secrets are not there yet", (*gate).hang, true},
	{"overloaded", "Unreachable", answers(http.StatusServiceUnavailable), false},
	{"broken", "Unreachable", answers(http.StatusInternalServerError), false},
	{"throttled", "Unreachable", answers(http.StatusTooManyRequests), false},
	{"unknown", "AuthFailed", answers(http.StatusUnauthorized), false},
	{"forbidden", "Forbidden", answers(http.StatusForbidden), false},
	{"missing", "NotFound", answers(http.StatusNotFound), false},
	{"half", "Unreachable", halfAnAnswer, false},
	{"garbage", "Unreachable", garbage, false},
}

func halfAnAnswer(g *gate) {
	g.answer(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", "1000")
		io.WriteString(w, `{"secrets": [{"secretKey": "DB_URL", "secret`)
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
}

func garbage(g *gate) {
	g.answer(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>Welcome to nginx!") })
}

// All pods go through all at once, each with a gate of its own.
func TestAFaultOfTheServerKeepsPodsFromStartingAndLaterChangesNothing(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	first, gates := s.value, map[string]*gate{}
	for _, f := range faults {
		gates[f.name] = newNamedGate(t, s.product, s.namespace, f.name)
		f.begin(gates[f.name])
		s.run(t, f.name, "server="+gates[f.name].url, "init-timeout=5s")
	}
	for _, f := range faults {
		s.expectHeldUp(t, f.name, f.reason)
		if got := s.kubectl(t, "", "logs", f.name, "--container=kms-agent", "--previous"); !f.silent && !strings.Contains(got, `"reason":"`+f.reason+`"`) {
			t.Errorf("%s: the log has no %s: %s", f.name, f.reason, got)
		}
	}
	for _, g := range gates {
		g.open()
	}
	lines := map[string]int{}
	for _, f := range faults {
		s.wait(t, "pod/"+f.name, "condition=Ready")
		_, lines[f.name] = s.awaitLog(t, f.name, "kms-agent", "secrets written", 0)
		f.begin(gates[f.name])
	}
	s.change(t)
	for _, f := range faults {
		if !f.silent {
			s.awaitLog(t, f.name, "kms-agent", `"reason":"`+f.reason+`"`, lines[f.name])
		}
		if got := s.field(t, f.name, conditionOf("Ready")+".status"); got != "True" {
			t.Errorf("%s: Ready is %q", f.name, got)
		}
		s.expectReads(t, f.name, first)
		gates[f.name].open()
	}
	for _, f := range faults {
		s.awaitLog(t, f.name, "web", fingerprint(s.value), 0)
		s.expectReads(t, f.name, first, s.value)
	}
}

func TestAPodStartsFromItsFallbackWhileTheServerIsAwayAndSwapsOnce(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	fallback, gates := s.fallback(t), map[string]*gate{}
	for _, f := range faults[:5] {
		gates[f.name] = newNamedGate(t, s.product, s.namespace, f.name)
		f.begin(gates[f.name])
		s.run(t, f.name, "server="+gates[f.name].url, "init-timeout=4s", "fallback-secret=web-fallback", "report=true",
			"share-process-namespace=true", "on-change=signal", "signal-target=process:sh")
	}
	for pod := range gates {
		s.awaitLog(t, pod, "kms-agent", `"reason":"StaleFallback"`, 0)
		s.awaitReason(t, pod, "StaleFallback", "True")
		s.wait(t, "pod/"+pod, "condition=Ready")
		s.awaitLog(t, pod, "web", fingerprint(fallback), 0)
	}
	for _, g := range gates {
		g.open()
	}
	for pod := range gates {
		s.awaitLog(t, pod, "web", fingerprint(s.value), 0)
		s.awaitLog(t, pod, "web", "SIGHUP", 0)
		s.awaitReason(t, pod, "Synced", "True")
		s.expectReads(t, pod, fallback, s.value)
		if n := strings.Count(s.kubectl(t, "", "logs", pod, "--container=web"), "SIGHUP"); n != 1 {
			t.Errorf("%s got %d signals, want one", pod, n)
		}
	}
}

func TestAFallbackIsNeverUsedAfterARefusalOrWhereSomethingIsMissing(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.fallback(t)
	mine := s.product.identity(t, s.project)
	s.credentials(t, "wrong-secret", identity{mine.id, mine.clientID, random()})
	s.credentials(t, "stranger", s.product.identity(t, s.product.project(t)))
	tests := map[string]struct {
		reason      string
		annotations []string
	}{
		"wrong-secret":   {"AuthFailed", []string{"auth-secret=wrong-secret"}},
		"no-access":      {"Forbidden", []string{"auth-secret=stranger"}},
		"no-project":     {"NotFound", []string{"project=nowhere"}},
		"no-environment": {"NotFound", []string{"env=nowhere"}},
		"no-folder":      {"NotFound", []string{"path=/nowhere"}},
		"no-key":         {"NotFound", []string{"keys=NOTHING"}},
	}
	for _, f := range faults[5:8] {
		g := newNamedGate(t, s.product, s.namespace, f.name)
		f.begin(g)
		tests[f.name] = struct {
			reason      string
			annotations []string
		}{f.reason, []string{"server=" + g.url}}
	}
	for name, test := range tests {
		s.run(t, name, append(test.annotations, "init-timeout=20s", "fallback-secret=web-fallback")...)
	}
	for _, name := range slices.Sorted(maps.Keys(tests)) {
		s.expectHeldUp(t, name, tests[name].reason)
	}
}

// An identity that loses its rights while pods run.
func TestFilesStayWhenAnIdentityIsRevokedUnlessTheyAreToGo(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	admin := s.product.admin
	leave := func(i identity) error {
		_, err := admin.RemoveIdentityFromProject(t.Context(), s.project.ID, i.id)
		return err
	}
	tests := map[string]struct {
		reason, onRevoked string
		revoke            func(identity) error
		want              []string // what the pod has read
	}{
		"secret-revoked": {"AuthFailed", "keep", func(i identity) error {
			all, err := admin.ListClientSecrets(t.Context(), i.id)
			if err == nil {
				_, err = admin.RevokeClientSecret(t.Context(), i.id, all[0].ID)
			}
			return err
		}, []string{s.value}},
		"identity-deleted": {"AuthFailed", "keep", func(i identity) error {
			_, err := admin.DeleteIdentity(t.Context(), i.id)
			return err
		}, []string{s.value}},
		"not-a-member":    {"Forbidden", "keep", leave, []string{s.value}},
		"files-are-to-go": {"Forbidden", "delete", leave, []string{s.value, ""}},
	}
	identities := map[string]identity{}
	for name, test := range tests {
		identities[name] = s.product.identity(t, s.project)
		s.credentials(t, name, identities[name])
		s.run(t, name, "auth-secret="+name, "report=true", "on-revoked="+test.onRevoked)
	}
	g := newGate(t, s.product, s.namespace)
	s.run(t, "gateway", "server="+g.url, "report=true", "on-revoked=delete")
	for name, test := range tests {
		s.awaitReason(t, name, "Synced", "True")
		s.awaitLog(t, name, "web", fingerprint(s.value), 0)
		if err := test.revoke(identities[name]); err != nil {
			t.Fatal(err)
		}
	}
	s.awaitReason(t, "gateway", "Synced", "True")
	asked := make(chan struct{}, 3)
	g.answer(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		select {
		case asked <- struct{}{}:
		default:
		}
	})
	for range cap(asked) { // the third comes when the second refusal is dealt with
		<-asked
	}
	s.awaitReason(t, "gateway", "Forbidden", "False")
	s.expectReads(t, "gateway", s.value) // a page of a gateway is no revocation
	g.open()
	for name, test := range tests {
		s.awaitReason(t, name, test.reason, "False")
		if test.onRevoked == "delete" {
			s.awaitLog(t, name, "web", "reads nothing", 0)
		}
		s.expectReads(t, name, test.want...)
	}
	if _, err := admin.AddIdentityToProject(t.Context(), s.project.ID, identities["files-are-to-go"].id, api.MembershipRole{Role: "viewer"}); err != nil {
		t.Fatal(err)
	}
	s.awaitReason(t, "files-are-to-go", "Synced", "True")
	s.awaitLog(t, "files-are-to-go", "web", fingerprint(s.value), 2)
}
