package httpapi_test

import (
	"testing"

	"github.com/hanzoai/kms/server/kmstest"
)

// The shapes that clients of earlier servers of this name send and read.
func TestTheEarlierShapesAnswerFromTheSameSecrets(t *testing.T) {
	w := newWire(t, kmstest.SQLite)
	viewer := w.role("viewer")
	w.folder("prod", "/", "db")
	orgs := "/v1/kms/orgs/test/secrets"
	if got := w.do("POST", orgs, map[string]any{"path": "shop/db", "name": "URL", "env": "prod", "value": "a\nb"}); got.status != 201 || got.body != `{"ok":true}` {
		t.Errorf("create: %d %s", got.status, got.body)
	}
	if got := w.get("production", "/db", "URL")["secretValue"]; got != "a\nb" {
		t.Errorf("by the main route: %v", got)
	}
	w.refused(400, "exists", "POST", orgs, map[string]any{"path": "/shop/db/", "name": "URL", "env": "prod", "value": canary})
	for target, want := range map[string]string{
		orgs + "/shop/db/URL?env=prod":                     `{"secret":{"value":"a\nb"},"version":1}`,
		orgs + "/shop/db/URL/?environment=production":      `{"secret":{"value":"a\nb"},"version":1}`,
		orgs + "?path=shop/db&env=prod":                    `{"names":["URL"],"secrets":[{"name":"URL","path":"/db","version":1}]}`,
		orgs + "?path=/shop/&env=prod":                     `{"names":[],"secrets":[]}`,
		"/v1/kms/secrets/db/URL?env=prod":                  `{"env":"prod","name":"URL","value":"a\nb"}`,
		"/v1/kms/secrets?path=/db&env=production&name=URL": `{"env":"production","name":"URL","value":"a\nb"}`,
		"/v1/kms/secrets?path=db&env=prod":                 `{"names":["URL"],"secrets":[{"name":"URL","path":"/db","version":1}]}`,
		"/v1/kms/secrets/db/?env=prod&projectSlug=shop":    `!404`,
		"/v1/kms/secrets/db/URL?env=prod&projectSlug=shop": `{"env":"prod","name":"URL","value":"a\nb"}`,
	} {
		got := viewer.do("GET", target, nil)
		if want == "!404" {
			viewer.refusal(got, 404, "not_found", target)
		} else if got.status != 200 || got.body != want {
			t.Errorf("%s: %d %s, want %s", target, got.status, got.body, want)
		}
	}
	secret := orgs + "/shop/db/URL"
	viewer.refused(403, "denied", "PATCH", secret, map[string]any{"env": "prod", "value": canary})
	viewer.refused(403, "denied", "DELETE", secret+"?env=prod", nil)
	viewer.refused(403, "denied", "POST", orgs, map[string]any{"path": "shop", "name": "X", "env": "prod", "value": canary})
	if got := w.do("PATCH", secret, map[string]any{"env": "prod", "value": "two", "version": 1}); got.body != `{"ok":true,"version":2}` {
		t.Errorf("update: %d %s", got.status, got.body)
	}
	w.refused(409, "conflict", "PATCH", secret, map[string]any{"env": "prod", "value": canary, "version": 1})
	w.refused(409, "conflict", "PATCH", secret, map[string]any{"env": "prod", "value": canary}, "If-Match", `"1"`)
	for _, match := range []string{canary, `W/"2"`, `"0"`, `"-1"`} {
		w.refused(400, "invalid", "PATCH", secret, map[string]any{"env": "prod", "value": canary}, "If-Match", match)
	}
	etag := w.do("GET", secret+"?env=prod", nil).header.Get("ETag")
	if got := w.do("PATCH", secret, map[string]any{"env": "prod", "value": "three"}, "If-Match", etag); got.body != `{"ok":true,"version":3}` {
		t.Errorf("update with %s: %d %s", etag, got.status, got.body)
	}
	w.refused(404, "not_found", "PATCH", orgs+"/shop/db/NOPE", map[string]any{"env": "prod", "value": canary})
	for _, target := range []string{"/v1/kms/orgs/nope/secrets/shop/db/URL?env=prod", orgs + "/nope/db/URL?env=prod", orgs + "/shop/db/NOPE?env=prod", orgs + "/shop/nope/URL?env=prod", orgs + "/shop/db/URL?env=nope"} {
		w.refused(404, "not_found", "GET", target, nil)
	}
	for _, target := range []string{orgs + "?env=prod", orgs + "/shop/db/URL", "/v1/kms/secrets"} {
		w.refused(400, "invalid", "GET", target, nil)
	}
	w.as("").refused(401, "unauthenticated", "GET", secret+"?env=prod", nil)
	w.role("").refused(403, "denied", "GET", secret+"?env=prod", nil)
	if got := w.do("DELETE", secret+"?env=prod", nil); got.body != `{"ok":true}` {
		t.Errorf("delete: %d %s", got.status, got.body)
	}
	w.refused(404, "not_found", "GET", secret+"?env=prod", nil)
}
