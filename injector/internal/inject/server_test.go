package inject_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hanzoai/kms/injector/internal/inject"
)

// Whoever chooses the server gets the credentials, so only what the operator
// allows is taken, and only in a form that every program reads alike.
func TestOnlyServersThatTheOperatorAllowsAreTaken(t *testing.T) {
	s := settings
	s.Defaults = map[string]string{"server": "https://kms.default.svc:8443"}
	s.Servers = []string{"https://kms.example.com", "https://*.kms.example.org", "http://kms.dev:8080", "https://gateway.example.com/kms", "https://[fd00::1]:8443", "*", "https://*"}
	for _, test := range []struct{ server, want string }{ // "" for a denial
		{"https://kms.default.svc:8443", "https://kms.default.svc:8443"},
		{"https://kms.example.com", "https://kms.example.com"},
		{"https://kms.example.com/", "https://kms.example.com"},
		{"https://kms.example.com:443", "https://kms.example.com"},
		{"HTTPS://KMS.Example.COM", "https://kms.example.com"},
		{"https://eu.kms.example.org", "https://eu.kms.example.org"},
		{"https://a.b.kms.example.org", "https://a.b.kms.example.org"},
		{"http://kms.dev:8080", "http://kms.dev:8080"},
		{"https://gateway.example.com/kms/", "https://gateway.example.com/kms"},
		{"https://[fd00::1]:8443", "https://[fd00::1]:8443"},

		{"http://kms.example.com", ""},
		{"https://kms.example.com:8443", ""},
		{"https://kms.example.com.evil.com", ""},
		{"https://evil.com/kms.example.com", ""},
		{"https://kms.example.org", ""},
		{"https://evilkms.example.org", ""},
		{"https://.kms.example.org", ""},
		{"https://*.kms.example.org", ""},
		{"https://kms.example.com.", ""},
		{"https://user@kms.example.com", ""},
		{"https://kms.example.com@evil.com", ""},
		{`https://kms.example.com\@evil.com`, ""},
		{"https://evil.com#@kms.example.com", ""},
		{"https://evil.com?.kms.example.org", ""},
		{"https://kms.example.com?x", ""},
		{"https://kms.example.com?", ""},
		{"https://kms.example.com/%2e%2e", ""},
		{"https://gateway.example.com/kms/../other", ""},
		{"https://gateway.example.com/other", ""},
		{"https://gateway.example.com", ""},
		{"https://[fd00:0::1]:8443", ""},
		{"https://[fd00::1%25eth0]:8443", ""},
		{"https://127.0.0.1", ""},
		{"https://2130706433", ""},
		{"https://0x7f.1", ""},
		{"https://017700000001", ""},
		{"https://169.254.169.254", ""},
		{"https://[::ffff:169.254.169.254]", ""},
		{"https://10.0.0.1", ""},
		{"https://localhost", ""},
		{"file:///etc/passwd", ""},
		{"kms.example.com", ""},
		{"//kms.example.com", ""},
		{"https:kms.example.com", ""},
		{"https://", ""},
		{" https://kms.example.com", ""},
		{"https://kms.example.com\n", ""},
		{"https://ĸms.example.com", ""},
	} {
		r := inject.Request{Pod: encode(t, the(map[string]string{"server": test.server}))}
		if test.want == "" {
			if got := denied(t, s, r); len(got) != 1 {
				t.Errorf("%s: %q", test.server, got)
			}
			continue
		}
		_, result := injected(t, s, r)
		if got := agentConfig(t, result).Server; got != test.want {
			t.Errorf("%s became %s", test.server, got)
		}
	}
}

func TestANamespaceAndAProfileChooseAmongTheSameServers(t *testing.T) {
	pod := encode(t, the(map[string]string{"profile": "p"}))
	const evil = "https://evil.example.com"
	for _, r := range []inject.Request{
		{Pod: pod, Profile: map[string]string{"server": evil}},
		{Pod: pod, Profile: map[string]string{}, Namespace: map[string]string{"kms.hanzo.ai/server": evil}},
	} {
		if got := denied(t, settings, r); len(got) != 1 {
			t.Errorf("%q", got)
		}
	}
}

func TestTheServerOfTheOperatorIsTakenAsItIs(t *testing.T) {
	s := settings
	s.Defaults = map[string]string{"server": "http://10.0.0.1:8080"}
	_, result := injected(t, s, inject.Request{Pod: encode(t, the(nil))})
	if got := agentConfig(t, result).Server; got != "http://10.0.0.1:8080" {
		t.Error(got)
	}
	_, result = injected(t, settings, inject.Request{Pod: encode(t, the(map[string]string{"server": "https://kms.hanzo.ai"}))})
	if got := agentConfig(t, result).Server; got != "https://kms.hanzo.ai" {
		t.Error(got)
	}
}

func TestAnAddressOnTheListThatCannotMatchIsFound(t *testing.T) {
	if err := inject.CheckServers([]string{"https://kms.example.com", "https://*.example.com:8443/kms", "http://10.0.0.1", "https://[::1]:8443"}); err != nil {
		t.Error(err)
	}
	if err := inject.CheckServers(nil); err != nil {
		t.Error(err)
	}
	bad := []string{"", "kms.example.com", "*.example.com", "https://", "ftp://kms.example.com", "https://user@kms.example.com", "https://kms.example.com/?a=b", "https://a.*.example.com"}
	err := inject.CheckServers(append(bad, "https://good.example.com"))
	if err == nil {
		t.Fatal("all are good")
	}
	for _, text := range bad {
		if !strings.Contains(err.Error(), fmt.Sprintf("%q is no address", text)) {
			t.Errorf("%q is missing in %v", text, err)
		}
	}
	if strings.Contains(err.Error(), "good.example.com") {
		t.Error(err)
	}
}
