package httpapi_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/hanzoai/kms/server/internal/httpapi"
	"github.com/hanzoai/kms/server/kmstest"
)

func TestAPathHasOneFormAndOthersAreRefused(t *testing.T) {
	for given, want := range map[string]string{
		"/api/status": "/api/status", "/api/status/": "/api/status", "/status": "/api/status", "/v3/secrets/raw": "/api/v3/secrets/raw", "/v1/auth/token/renew/": "/api/v1/auth/token/renew",
		"/v1/kms/secrets/a/b": "/v1/kms/secrets/a/b", "/api/v3/secrets/raw/A%20B": "/api/v3/secrets/raw/A%20B", "/": "", "/api/v3/secrets/raw/...": "/api/v3/secrets/raw/...",

		"//api/status": "!", "/api//status": "!", "/api/status//": "!", "/api/./status": "!", "/api/../api/status": "!", "/api/v3/secrets/raw/..": "!", "/api/v3/secrets/raw/%2e%2e": "!",
		"/api/v3/secrets/raw/%2E": "!", "/api/v3/secrets/raw/a%2fb": "!", "/api/v3/secrets/raw/a%2Fb": "!", "/api/v3/secrets/raw/%5c": "!", "/api/v3/secrets/raw/a\\b": "!",
		"/api/v3/secrets/raw/%00": "!", "/api/v3/secrets/raw/a%0ab": "!", "/api/v3/secrets/raw/%7f": "!", "/api/v3/secrets/raw/%ff": "!", "/api/v3/secrets/raw/%c0%ae": "!", "/%2e%2e/etc": "!",
	} {
		u, err := url.Parse("http://kms.test" + given)
		if err != nil {
			t.Fatalf("%s: %v", given, err)
		}
		got, err := httpapi.CanonicalPath(u)
		if want == "!" {
			if err == nil {
				t.Errorf("%s is taken as %s", given, got)
			}
		} else if err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", given, got, err, want)
		}
	}
}

// FuzzCanonicalPath: what is taken has no segment that anybody could read as
// another path, and is its own one form.
func FuzzCanonicalPath(f *testing.F) {
	for _, seed := range []string{"/", "/api/status/", "/v3/secrets/raw/KEY", "/a//b", "/a/%2e%2e/b", "/a%2fb", "/%00", "/%ff", "/v1/kms/secrets/x/", "*", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		u, err := url.Parse("http://kms.test/" + strings.TrimPrefix(path, "/"))
		if err != nil {
			return
		}
		got, err := httpapi.CanonicalPath(u)
		if err != nil {
			return
		}
		for i, segment := range strings.Split(got, "/") {
			plain, err := url.PathUnescape(segment)
			if err != nil || i > 0 && segment == "" || plain == "." || plain == ".." || strings.ContainsAny(plain, "/\\\x00") {
				t.Errorf("%q is taken as %q", path, got)
			}
		}
		again, err := url.Parse("http://kms.test" + got)
		if err != nil {
			t.Fatalf("%q is taken as %q, which is no path: %v", path, got, err)
		}
		if twice, err := httpapi.CanonicalPath(again); err != nil || twice != got {
			t.Errorf("%q becomes %q and then %q, %v", path, got, twice, err)
		}
	})
}

func TestAMethodThatARouteHasNotIs405AndSaysWhichItHas(t *testing.T) {
	w := newWire(t, kmstest.SQLite)
	for target, methods := range map[string]string{
		"/api/status": "GET, HEAD", raw: "GET, HEAD", raw + "/KEY": "DELETE, GET, HEAD, PATCH, POST", "/api/v1/auth/universal-auth/login/": "POST",
		"/v1/kms/secrets/a/b/c": "GET, HEAD", "/api/v1/workspace/environments/x": "GET, HEAD",
	} {
		for _, method := range []string{"PUT", "OPTIONS", "TRACE", "PROPFIND", "get"} {
			a := w.do(method, target, nil)
			w.refusal(a, 405, "invalid", method+" "+target)
			if got := a.header.Get("Allow"); got != methods {
				t.Errorf("%s: Allow %q, want %q", target, got, methods)
			}
		}
	}
	for _, target := range []string{"/", "/api", "/api/v9/secrets", "/api/v3", "/index.html", "/api/v3/secrets/raw/a/b/c", "/v1/kms", "/metrics", "/healthz", "/debug/pprof/"} {
		for _, method := range []string{"GET", "POST", "OPTIONS", "DELETE"} {
			w.refused(404, "not_found", method, target, nil)
		}
	}
	w.set("dev", "/", "KEY", "v")
	get, head := w.do("GET", raw+w.at("dev", "/"), nil), w.do("HEAD", raw+w.at("dev", "/"), nil)
	if head.status != 200 || head.body != "" || head.header.Get("ETag") != get.header.Get("ETag") || head.header.Get("Content-Length") != get.header.Get("Content-Length") {
		t.Errorf("HEAD: %d %v", head.status, head.header)
	}
	if head := w.do("HEAD", raw+w.at("nope", "/"), nil); head.status != 404 || head.body != "" {
		t.Errorf("HEAD of nothing: %d", head.status)
	}
}

func TestThePostOfASpellingIsAnsweredWithoutARedirect(t *testing.T) {
	w := newWire(t, kmstest.SQLite)
	for i, target := range []string{"/v3/secrets/raw/KEY0", "/v3/secrets/raw/KEY1/", "/api/v3/secrets/raw/KEY2/", "/v4/secrets/KEY3"} {
		if got := w.do("POST", target, w.body("dev", "/", "secretValue", "v")); got.status != 200 {
			t.Errorf("%d: %d %s", i, got.status, got.body)
		}
	}
	if got := w.as("").do("GET", "/api/status", nil); got.status != 200 || w.object(got)["message"] != "Ok" || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("status: %d %v %s", got.status, got.header, got.body)
	}
}
