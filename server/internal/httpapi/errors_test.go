package httpapi_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/hanzoai/kms/server/kmstest"
)

// Every bad request below carries the canary where a secret would be; refused
// looks that no answer holds any of it and that each is a whole error body.
func TestABadRequestIsToldWhatIsWrongAndNothingElse(t *testing.T) {
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		w := newWire(t, engine)
		w.set("dev", "/", "KEY", "v")
		bad := func(method, target string, body any) { t.Helper(); w.refused(400, "invalid", method, target, body) }

		for _, body := range []string{
			"{", canary, `"` + canary + `"`, `[{"secretValue":"` + canary + `"}]`, `{"secretValue":"` + canary + `"} x`, `{"secretValue":"` + canary + `","secretvalue":"` + canary + `"}`,
			`{"secretValue":["` + canary + `"]}`, `{"secretValue":{"a":"` + canary + `"}}`, `{"secretValue":7,"secretComment":"` + canary + `"}`, `{"secretComment":["` + canary + `"]}`,
			"{\"secretValue\":\"" + canary + "\xff\"}", `{"secretValue":"` + canary + `\ud800"}`, `{"environment":["` + canary + `"]}`, `{"workspaceId":{"` + canary + `":1}}`,
			`{"tagIds":"` + canary + `"}`, `{"tagIds":[["` + canary + `"]]}`, `{"secretMetadata":{"` + canary + `":"x"}}`, `{"secretMetadata":[{"key":1,"value":"` + canary + `"}]}`,
			`{"skipMultilineEncoding":"` + canary + `"}`, `{"secretReminderRepeatDays":"` + canary + `"}`, `{"version":"` + canary + `"}`,
			strings.Repeat(`{"a":`, 40) + `"` + canary + `"` + strings.Repeat("}", 40),
		} {
			for _, method := range []string{"POST", "PATCH", "DELETE"} {
				bad(method, raw+"/KEY"+w.at("dev", "/"), body)
			}
		}
		for _, more := range [][]any{
			{"secretMetadata", []any{map[string]any{"value": canary}}}, {"secretMetadata", []any{nil}}, {"secretReminderRepeatDays", -1}, {"secretReminderRepeatDays", 366},
			{"secretReminderNote", strings.Repeat("x", 1025)}, {"secretReminderNote", "\x00" + canary}, {"newSecretName", "a b " + canary}, {"secretPath", "/" + canary}, {"secretPath", "/../" + canary},
		} {
			bad("PATCH", raw+"/KEY", w.body("dev", "/", append(more, "secretValue", canary)...))
		}

		for _, key := range []string{"a b", "a:b", "é", "\u0410", "a\u200bb", "\U0001f511", strings.Repeat("k", 256), " KEY", "KEY "} {
			bad("POST", raw+"/"+url.PathEscape(key), w.body("dev", "/", "secretValue", canary))
			bad("GET", raw+"/"+url.PathEscape(key)+w.at("dev", "/"), nil)
		}
		for _, path := range []string{"%2e%2e", "%2E", "a%2fb", "a%2Fb", "a%5cb", "%00", "%0a", "%7f", "%ff", "%c0%ae", "..", "//KEY"} {
			bad("GET", raw+"/"+path+w.at("dev", "/"), nil)
			bad("GET", "/api/v1/folders/"+path, nil)
			bad("GET", "/api/v3/secrets/raw/id/"+path, nil)
		}
		for _, path := range []string{"/a//b", "///", "/.", "/..", "/a/../b", "/./a", "/a/.", "/a b", "/a\\b", "/é", "/\uff0f", "/a\u2215b", "/a%2fb", "/%2e%2e", "/a.b", "/" + strings.Repeat("x", 256),
			strings.Repeat("/x", 21), strings.Repeat("/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", 19) + "/x",
			"/" + canary, "/*", "/**", "~"} {
			bad("GET", raw+w.at("dev", path), nil)
			bad("GET", raw+"/KEY"+w.at("dev", path), nil)
			bad("POST", raw+"/NEW", w.body("dev", path, "secretValue", canary))
			bad("GET", "/api/v1/folders"+w.at("dev", "", "path", path), nil)
		}
		for _, query := range []string{"?a=%", "?a=%zz", "?a;b", "?environment=%ff", "?environment=dev%00", "?workspaceId=%0d%0aX: y", "?secretPath=%e2%80", "?recursive=" + url.QueryEscape(canary),
			"?expandSecretReferences=" + url.QueryEscape(canary), "?viewSecretValue=2"} {
			bad("GET", raw+strings.ReplaceAll(query, " ", "%20"), nil)
		}

		// Ids of any look are unknown, on both engines.
		for _, id := range []string{"x", "0", "-1", "null", "undefined", "%27%20OR%201=1--", "%22", "é", "%F0%9F%94%91", strings.Repeat("9", 300), "01890000-0000-7000-8000-000000000000", "01890000-0000-7000-8000-00000000000G"} {
			for _, route := range []string{"/api/v3/secrets/raw/id/", "/api/v4/secrets/id/", "/api/v1/folders/", "/api/v2/folders/", "/api/v1/workspace/environments/", "/api/v1/projects/", "/api/v1/projects/shop/tags/",
				"/api/v1/projects/shop/environments/slug/"} {
				w.refused(404, "not_found", "GET", route+id, nil)
			}
			w.refused(404, "not_found", "GET", "/api/v1/secret/"+id+"/secret-versions", nil)
		}
		for _, token := range []string{canary, "a.b.c", "..", "eyJhbGciOiJub25lIn0.e30.", "st." + canary, strings.Repeat("x", 5000), "é"} {
			w.as(token).refused(401, "unauthenticated", "GET", raw+w.at("dev", "/"), nil)
		}
		for _, header := range []string{"Basic " + canary, "Bearer", canary, "Bearer  ", "bearer"} {
			w.as("").refused(401, "unauthenticated", "GET", raw+w.at("dev", "/"), nil, "Authorization", header)
		}
		if got := w.do("GET", raw+w.at("dev", "/"), nil, "X-Long", strings.Repeat(canary, 2000)); got.status != 431 || strings.Contains(got.body, canary) {
			t.Errorf("too long headers: %d %.200s", got.status, got.body)
		}
		// What the audit trail could not store must not keep it from others.
		for _, agent := range []string{"\xff\xfe" + canary, strings.Repeat("é", 300), "x" + strings.Repeat("\U0001f511", 100), "tab\there"} {
			if got := w.do("GET", raw+w.at("dev", "/"), nil, "User-Agent", agent); got.status != 200 {
				t.Errorf("User-Agent %.20q: %d %s", agent, got.status, got.body)
			}
		}
		if got := w.list(raw + w.at("dev", "/")); len(got) != 1 {
			t.Errorf("after all of that: %v", got)
		}
	})
}

// A NUL is valid in JSON and in no text of PostgreSQL: wherever it turns up, it
// is the client's mistake, not the database's.
func TestANULInABodyIsTheClientsMistake(t *testing.T) {
	t.Parallel()
	kms := kmstest.New(t, kmstest.Options{Engine: kmstest.Postgres})
	project := kms.Project("shop")
	admin := knock(t, kms, kms.Token.Reveal())
	for _, call := range []struct {
		method, path string
		body         fields
		want         int
	}{
		{"POST", "/api/v1/auth/universal-auth/login", fields{"clientId": "a\x00b", "clientSecret": "st.x\x00"}, 401},
		{"POST", "/api/v3/auth/login", fields{"email": "a\x00@example.com", "password": "x"}, 400},
		{"POST", "/api/v1/identities", fields{"name": "a\x00b"}, 400},
		{"POST", "/api/v1/identities", fields{"name": "a", "organizationId": "a\x00b"}, 404},
		{"POST", "/api/v1/projects", fields{"projectName": "a", "slug": "a\x00b"}, 400},
		{"POST", "/api/v3/secrets/raw/A", fields{"workspaceId": "a\x00b", "environment": "dev", "secretValue": "x"}, 404},
		{"POST", "/api/v3/secrets/raw/A", fields{"workspaceId": project.ID, "environment": "d\x00v", "secretValue": "x"}, 404},
		{"POST", "/api/v3/secrets/raw/A", fields{"workspaceId": project.ID, "environment": "dev", "secretPath": "/a\x00", "secretValue": "x"}, 400},
		{"POST", "/api/v3/secrets/raw/A", fields{"workspaceId": project.ID, "environment": "dev", "secretValue": "a value may\x00"}, 200},
		{"POST", "/api/v1/folders", fields{"workspaceId": project.ID, "environment": "dev", "name": "a\x00b"}, 400},
		{"POST", "/api/v1/projects/" + project.ID + "/tags", fields{"slug": "a", "color": "\x00"}, 400},
	} {
		admin.want(call.want, call.method, call.path, call.body)
	}
}
