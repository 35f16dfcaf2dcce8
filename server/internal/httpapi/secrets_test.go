package httpapi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/internal/store"
	"github.com/hanzoai/kms/server/kmstest"

	"github.com/google/go-cmp/cmp"
)

// wire speaks to a server in raw HTTP, as one caller, about one project.
type wire struct {
	*testing.T
	kms     *kmstest.Server
	project api.Project
	token   string
}

// answer is what came back, to the byte.
type answer struct {
	status int
	header http.Header
	body   string
}

// canary is what bad requests carry where a secret would be: no answer that
// refuses one may repeat any of it.
const canary = "c4nary-5ecret-Pa$$"

// newWire starts a server of the test's own, beside other tests.
func newWire(t *testing.T, engine string) *wire {
	t.Helper()
	t.Parallel()
	kms := kmstest.New(t, kmstest.Options{Engine: engine})
	kms.Plant(canary)
	return &wire{t, kms, kms.Project("shop"), kms.Token.Reveal()}
}

// as is the same project as another caller sees it.
func (w *wire) as(token string) *wire { return &wire{w.T, w.kms, w.project, token} }

// role is the project as an identity with a role sees it.
func (w *wire) role(role string) *wire {
	w.Helper()
	c := w.kms.Identity(w.project, role)
	login := w.as("").ok("POST", "/api/v1/auth/universal-auth/login", map[string]any{"clientId": c.ClientID, "clientSecret": c.ClientSecret})
	return w.as(login["accessToken"].(string))
}

// do sends a body (text as it is, other things as JSON) and headers, given as
// names and values in turn.
func (w *wire) do(method, target string, body any, headers ...string) answer {
	w.Helper()
	var content []byte
	switch b := body.(type) {
	case nil:
	case string:
		content = []byte(b)
	default:
		var err error
		if content, err = json.Marshal(b); err != nil {
			w.Fatal(err)
		}
	}
	r, err := http.NewRequest(method, w.kms.URL+target, bytes.NewReader(content))
	if err != nil {
		w.Fatal(err)
	}
	if w.token != "" {
		r.Header.Set("Authorization", "Bearer "+w.token)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(r) // follows no redirect
	if err != nil {
		w.Fatalf("%s %s: %v", method, target, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(text)}
}

// ok sends what has to succeed and gives the answer's object.
func (w *wire) ok(method, target string, body any, headers ...string) map[string]any {
	w.Helper()
	a := w.do(method, target, body, headers...)
	if a.status/100 != 2 {
		w.Fatalf("%s %s: %d %s", method, target, a.status, a.body)
	}
	return w.object(a)
}

func (w *wire) object(a answer) (object map[string]any) {
	w.Helper()
	if err := json.Unmarshal([]byte(a.body), &object); err != nil {
		w.Fatalf("the answer is no JSON object: %v: %q", err, a.body)
	}
	return object
}

var requestID = regexp.MustCompile(`^req-[0-9A-Za-z]{14}$`)

// refused sends what has to be refused, looks at everything an error body must
// be, and gives its message.
func (w *wire) refused(status int, kind, method, target string, body any, headers ...string) string {
	w.Helper()
	return w.refusal(w.do(method, target, body, headers...), status, kind, method+" "+target)
}

func (w *wire) refusal(a answer, status int, kind, what string) string {
	w.Helper()
	if a.status != status {
		w.Errorf("%.200s: status %d, want %d: %.300s", what, a.status, status, a.body)
		return ""
	}
	if strings.ContainsAny(a.body, "\r\n") || a.header.Get("Content-Type") != "application/json; charset=utf-8" {
		w.Errorf("%.200s: not one line of JSON: %q %q", what, a.header.Get("Content-Type"), a.body)
	}
	object := w.object(a)
	id, _ := object["reqId"].(string)
	if !requestID.MatchString(id) || a.header.Get("X-Request-Id") != id {
		w.Errorf("%.200s: reqId %q, header %q", what, id, a.header.Get("X-Request-Id"))
	}
	message, _ := object["message"].(string)
	name, _ := object["error"].(string)
	if message == "" || name == "" || object["statusCode"] != float64(status) || object["kind"] != kind || len(object) != 5 {
		w.Errorf("%.200s: want kind %q and five fields: %s", what, kind, a.body)
	}
	for _, piece := range []string{canary, canary[:8], "5ecret"} {
		if strings.Contains(a.body, piece) {
			w.Errorf("%.200s: the answer repeats what was sent in confidence: %s", what, a.body)
		}
	}
	return message
}

const (
	raw     = "/api/v3/secrets/raw"
	batched = "/api/v3/secrets/batch/raw"
)

// at is the query of a folder of the project.
func (w *wire) at(environment, path string, more ...string) string {
	q := url.Values{"workspaceId": {w.project.ID}, "environment": {environment}, "secretPath": {path}}
	for i := 0; i+1 < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	return "?" + q.Encode()
}

// body is the body of a write into a folder of the project.
func (w *wire) body(environment, path string, more ...any) map[string]any {
	b := map[string]any{"workspaceId": w.project.ID, "environment": environment, "secretPath": path}
	for i := 0; i+1 < len(more); i += 2 {
		b[more[i].(string)] = more[i+1]
	}
	return b
}

// set makes or changes a secret.
func (w *wire) set(environment, path, key, value string, more ...any) map[string]any {
	w.Helper()
	body := w.body(environment, path, append([]any{"secretValue", value}, more...)...)
	a := w.do("POST", raw+"/"+key, body)
	if a.status == 400 {
		a = w.do("PATCH", raw+"/"+key, body)
	}
	if a.status != 200 {
		w.Fatalf("set %s: %d %s", key, a.status, a.body)
	}
	return w.object(a)["secret"].(map[string]any)
}

func (w *wire) get(environment, path, key string, more ...string) map[string]any {
	w.Helper()
	return w.ok("GET", raw+"/"+key+w.at(environment, path, more...), nil)["secret"].(map[string]any)
}

// list gives the paths, keys and values of a list, in its order.
func (w *wire) list(target string) []string {
	w.Helper()
	all := []string{}
	for _, s := range w.ok("GET", target, nil)["secrets"].([]any) {
		secret := s.(map[string]any)
		all = append(all, fmt.Sprint(strings.TrimSuffix(secret["secretPath"].(string), "/"), "/", secret["secretKey"], "=", secret["secretValue"]))
	}
	return all
}

var (
	anyID   = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
	anyTime = regexp.MustCompile(`"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"`)
)

// stable replaces ids by letters in the order in which they come, and times.
func stable(body string) string {
	seen := map[string]string{}
	body = anyID.ReplaceAllStringFunc(body, func(id string) string {
		if seen[id] == "" {
			seen[id] = string(rune('A' + len(seen)))
		}
		return seen[id]
	})
	return anyTime.ReplaceAllString(body, `"T"`)
}

const plainSecret = `{"secret":{"id":"A","_id":"A","workspace":"B","environment":"dev","version":1,"type":"shared","secretKey":"KEY","secretValue":"a \"b\" <c> & $d\n\u2028é",` +
	`"secretComment":"","secretPath":"/","secretValueHidden":false,"tags":[],"secretMetadata":[],"skipMultilineEncoding":false,"secretReminderNote":null,` +
	`"secretReminderRepeatDays":null,"createdAt":"T","updatedAt":"T","actor":{"actorId":"C","actorType":"identity","name":"Instance Admin Identity","membershipId":null,"groupId":null},` +
	`"isRotatedSecret":false,"rotationId":null}}`

const fullSecret = `{"secret":{"id":"A","_id":"A","workspace":"B","environment":"production","version":2,"type":"shared","secretKey":"KEY","secretValue":"v",` +
	`"secretComment":"why","secretPath":"/a/b","secretValueHidden":false,"tags":[{"id":"C","slug":"db","name":"db","color":"#fff"},{"id":"D","slug":"web","name":"web","color":null}],` +
	`"secretMetadata":[{"key":"owner","value":"me"},{"key":"empty","value":""}],"skipMultilineEncoding":true,"secretReminderNote":"rotate","secretReminderRepeatDays":30,` +
	`"createdAt":"T","updatedAt":"T","actor":{"actorId":"E","actorType":"identity","name":"Instance Admin Identity","membershipId":null,"groupId":null},"isRotatedSecret":false,"rotationId":null}}`

func TestASecretIsAnsweredInExactlyTheseBytes(t *testing.T) {
	w := newWire(t, kmstest.SQLite)
	created := w.do("POST", raw+"/KEY", w.body("dev", "/", "secretValue", "a \"b\" <c> & $d\n\u2028é"))
	if diff := cmp.Diff(plainSecret, stable(created.body)); diff != "" {
		t.Errorf("created (-want +got):\n%s", diff)
	}
	id := w.object(created)["secret"].(map[string]any)["id"].(string)
	for _, target := range []string{raw + "/KEY" + w.at("dev", "/"), "/api/v4/secrets/KEY?environment=dev&projectId=" + w.project.ID, raw + "/id/" + id, "/api/v4/secrets/id/" + id} {
		if got := w.do("GET", target, nil); got.body != created.body || got.status != 200 || got.header.Get("Content-Type") != "application/json; charset=utf-8" {
			t.Errorf("%s: %d %v\n%s\n%s", target, got.status, got.header, got.body, created.body)
		}
	}

	tag := func(slug, color string) string {
		return w.ok("POST", "/api/v1/workspace/"+w.project.ID+"/tags", map[string]any{"slug": slug, "color": color})["workspaceTag"].(map[string]any)["id"].(string)
	}
	db, web := tag("db", "#fff"), tag("web", "")
	w.ok("POST", "/api/v1/folders", w.body("prod", "", "name", "b", "path", "/a"))
	w.set("prod", "/a/b", "KEY", "v", "tagIds", []string{web, db, web}, "secretComment", "why", "secretMetadata", []map[string]any{{"key": "owner", "value": "me"}, {"key": "empty"}},
		"skipMultilineEncoding", true, "secretReminderNote", "rotate", "secretReminderRepeatDays", 30)
	w.ok("PATCH", raw+"/KEY", w.body("prod", "/a/b")) // keeps all there is
	if diff := cmp.Diff(fullSecret, stable(w.do("GET", raw+"/KEY"+w.at("production", "/a/b/"), nil).body)); diff != "" {
		t.Errorf("with everything (-want +got):\n%s", diff)
	}
}

func TestASecretCountsItsVersionsAndKeepsOldOnes(t *testing.T) {
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		w := newWire(t, engine)
		first := w.set("dev", "/", "KEY", "one")
		if first["version"] != 1.0 || first["type"] != "shared" {
			t.Errorf("a new secret: %v", first)
		}
		id := first["id"].(string)
		if got := w.set("dev", "/", "KEY", "two"); got["version"] != 2.0 || got["id"] != id {
			t.Errorf("a changed one: %v", got)
		}
		w.ok("PATCH", raw+"/KEY", w.body("dev", "/", "newSecretName", "KEY2"))
		for version, want := range map[string]string{"": "KEY2=two", "0": "KEY2=two", "1": "KEY=one", "2": "KEY=two", "3": "KEY2=two"} {
			got := w.get("dev", "/", "KEY2", "version", version)
			if text := fmt.Sprint(got["secretKey"], "=", got["secretValue"]); text != want {
				t.Errorf("version %q: %s, want %s", version, text, want)
			}
			byID := w.ok("GET", raw+"/id/"+id+"?version="+version, nil)["secret"]
			if diff := cmp.Diff(got, byID); diff != "" {
				t.Errorf("version %q by id differs: %s", version, diff)
			}
		}
		w.refused(404, "not_found", "GET", raw+"/KEY2"+w.at("dev", "/", "version", "4"), nil)
		w.refused(404, "not_found", "GET", raw+"/KEY2"+w.at("dev", "/", "version", "-1"), nil)
		w.refused(400, "invalid", "GET", raw+"/KEY2"+w.at("dev", "/", "version", canary), nil)
		w.refused(400, "invalid", "GET", raw+"/KEY2"+w.at("dev", "/", "version", "99999999999999999999"), nil)

		versions := "/api/v1/secret/" + id + "/secret-versions"
		for query, want := range map[string]string{"": "[3 2 1]", "?limit=2": "[3 2]", "?offset=1&limit=1": "[2]", "?offset=9": "[]"} {
			got := []any{}
			for _, s := range w.ok("GET", versions+query, nil)["secretVersions"].([]any) {
				got = append(got, s.(map[string]any)["version"])
			}
			if fmt.Sprint(got) != want {
				t.Errorf("versions%s: %v, want %s", query, got, want)
			}
		}
		for _, query := range []string{"?limit=0", "?limit=101", "?offset=-1", "?offset=x"} {
			w.refused(400, "invalid", "GET", versions+query, nil)
		}

		w.ok("DELETE", raw+"/KEY2", w.body("dev", "/"))
		for _, target := range []string{raw + "/KEY2" + w.at("dev", "/"), raw + "/KEY2" + w.at("dev", "/", "version", "1"), raw + "/id/" + id, raw + "/id/" + id + "?version=1", versions} {
			w.refused(404, "not_found", "GET", target, nil)
		}
		if again := w.set("dev", "/", "KEY2", "new"); again["version"] != 1.0 || again["id"] == id {
			t.Errorf("made again: %v", again)
		}
	})
}

func TestWritesSayWhatIsTakenAndWhatIsMissing(t *testing.T) {
	w := newWire(t, kmstest.SQLite)
	w.set("dev", "/", "A", "one")
	w.set("dev", "/", "B", "two")
	if got := w.refused(400, "exists", "POST", raw+"/A", w.body("dev", "/", "secretValue", canary)); !strings.HasPrefix(got, "Secret already exists") {
		t.Errorf("a duplicate: %q", got)
	}
	w.refused(404, "not_found", "PATCH", raw+"/C", w.body("dev", "/", "secretValue", canary))
	w.refused(404, "not_found", "DELETE", raw+"/C", w.body("dev", "/"))
	w.refused(404, "not_found", "GET", raw+"/C"+w.at("dev", "/"), nil)
	w.refused(404, "not_found", "GET", raw+"/a"+w.at("dev", "/"), nil) // keys have a case
	w.refused(400, "exists", "PATCH", raw+"/A", w.body("dev", "/", "newSecretName", "B", "secretValue", canary))
	w.refused(400, "invalid", "PATCH", raw+"/A", w.body("dev", "/", "newSecretName", "", "secretValue", canary))
	w.refused(400, "invalid", "PATCH", raw+"/A", w.body("dev", "/", "newSecretName", "x/y", "secretValue", canary))
	w.refused(409, "conflict", "PATCH", raw+"/A", w.body("dev", "/", "version", 7, "secretValue", canary))
	w.refused(404, "not_found", "PATCH", raw+"/A", w.body("dev", "/", "tagIds", []string{"nope"}, "secretValue", canary))
	if diff := cmp.Diff([]string{"/A=one", "/B=two"}, w.list(raw+w.at("dev", "/"))); diff != "" {
		t.Errorf("a refused write did something: %s", diff)
	}
	w.ok("PATCH", raw+"/A", w.body("dev", "/", "newSecretName", "A", "version", 1)) // to itself
	w.ok("PATCH", raw+"/A", w.body("dev", "/", "newSecretName", "C", "secretValue", "three"))
	if diff := cmp.Diff([]string{"/B=two", "/C=three"}, w.list(raw+w.at("dev", "/"))); diff != "" {
		t.Error(diff)
	}
}

func TestWhatAnUpdateLeavesOutIsKept(t *testing.T) {
	w := newWire(t, kmstest.SQLite)
	w.set("dev", "/", "KEY", "v", "secretComment", "c", "secretMetadata", []map[string]any{{"key": "k", "value": "v"}}, "skipMultilineEncoding", true, "secretReminderNote", "n", "secretReminderRepeatDays", 3)
	kept := func(s map[string]any) string {
		return fmt.Sprint(s["secretValue"], s["secretComment"], s["secretMetadata"], s["skipMultilineEncoding"], s["secretReminderNote"], s["secretReminderRepeatDays"])
	}
	before := kept(w.get("dev", "/", "KEY"))
	// The Python client sends null for everything that was not given.
	nulls := map[string]any{"workspaceId": nil, "projectSlug": "shop", "environment": "dev", "secretPath": "/"}
	for _, name := range []string{"workspaceSlug", "projectId", "path", "directory", "type", "secretKey", "secretName", "newSecretName", "secretValue", "secretComment", "secretMetadata", "tagIds",
		"skipMultilineEncoding", "secretReminderNote", "secretReminderRepeatDays", "version", "metadata"} {
		nulls[name] = nil
	}
	w.ok("PATCH", raw+"/KEY", nulls)
	if got := kept(w.get("dev", "/", "KEY")); got != before {
		t.Errorf("nulls changed something: %s, before %s", got, before)
	}
	w.ok("POST", raw+"/OTHER", nulls)
	if got := w.get("dev", "/", "OTHER"); got["secretValue"] != "" || got["secretComment"] != "" {
		t.Errorf("made of nulls: %v", got)
	}
	w.ok("PATCH", raw+"/KEY", w.body("dev", "/", "secretValue", "", "secretComment", "", "secretMetadata", []any{}, "secretReminderNote", "", "secretReminderRepeatDays", 0, "skipMultilineEncoding", false))
	if got := kept(w.get("dev", "/", "KEY")); got != "[] false <nil> <nil>" {
		t.Errorf("emptied: %s", got)
	}
}

func TestValuesComeBackByteForByte(t *testing.T) {
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		w := newWire(t, engine)
		mixture := "\"quoted\" 'single' $HOME ${} $(x) `y` \\ \\n \r\n\t * ? {a,b} é 世界 \U0001f600 \u2028\u2029 \ufeff \x7f \x00\x01\x1f </script> &amp; %s %00 "
		fill := func(n int) string { return strings.Repeat(mixture, n/len(mixture)+1)[:n-1] + "." } // cut before a rune may be cut
		for name, value := range map[string]string{
			"empty": "", "spaces": "   ", "newlines": "\n\n", "trailing": "x \n", "mixture": mixture, "NULs": strings.Repeat("\x00", 1000),
			"64 KiB": strings.ToValidUTF8(fill(64<<10), "?"), "1 MiB": strings.Repeat("ab$\"\n é\u2028", 1<<20/12) + "tail", "exactly 1 MiB": strings.Repeat("x", 1<<20),
		} {
			key := "KEY"
			w.set("dev", "/", key, value)
			if got := w.get("dev", "/", key)["secretValue"]; got != value {
				t.Errorf("%s: %d bytes came back otherwise", name, len(value))
			}
			list := w.ok("GET", raw+w.at("dev", "/"), nil)["secrets"].([]any)
			if got := list[0].(map[string]any)["secretValue"]; got != value {
				t.Errorf("%s: the list has it otherwise", name)
			}
		}
		if engine == kmstest.Postgres {
			return // what is too large reaches no database
		}
		long := strings.Repeat("x", 1<<20) + "y"
		w.refused(413, "too_large", "PATCH", raw+"/KEY", w.body("dev", "/", "secretValue", long))
		w.refused(413, "too_large", "PATCH", raw+"/KEY", w.body("dev", "/", "secretValue", long+long))
		w.refused(413, "too_large", "PATCH", raw+"/KEY", w.body("dev", "/", "secretComment", strings.Repeat("x", api.MaxComment+1)))
		w.refused(413, "too_large", "PATCH", raw+"/KEY", w.body("dev", "/", "secretMetadata", []map[string]any{{"key": "k", "value": strings.Repeat("x", api.MaxMetadata)}}))
		w.refused(413, "too_large", "PATCH", batched, w.body("dev", "/", "secrets", []map[string]any{{"secretKey": "KEY", "secretValue": strings.Repeat("x", api.MaxBatchBody)}}))
	})
}

func TestPersonalSecretsAreRefusedAndTheSharedOneStays(t *testing.T) {
	w := newWire(t, kmstest.SQLite)
	w.set("dev", "/", "KEY", "v")
	for _, kind := range []string{"personal", "PERSONAL", canary} {
		w.refused(400, "invalid", "GET", raw+"/KEY"+w.at("dev", "/", "type", kind), nil)
		w.refused(400, "invalid", "POST", raw+"/NEW", w.body("dev", "/", "type", kind, "secretValue", canary))
		w.refused(400, "invalid", "PATCH", raw+"/KEY", w.body("dev", "/", "type", kind, "secretValue", canary))
		w.refused(400, "invalid", "DELETE", raw+"/KEY", w.body("dev", "/", "type", kind))
		w.refused(400, "invalid", "DELETE", raw+"/KEY"+w.at("dev", "/", "type", kind), nil)
		w.refused(400, "invalid", "DELETE", batched, w.body("dev", "/", "secrets", []map[string]any{{"secretKey": "KEY", "type": kind}}))
		w.refused(400, "invalid", "DELETE", batched, w.body("dev", "/", "type", kind, "secrets", []map[string]any{{"secretKey": "KEY"}}))
	}
	if diff := cmp.Diff([]string{"/KEY=v"}, w.list(raw+w.at("dev", "/"))); diff != "" {
		t.Error(diff)
	}
}

func TestADeleteSaysWhereByBodyOrQuery(t *testing.T) {
	w := newWire(t, kmstest.SQLite)
	for name, del := range map[string]func() answer{
		"a body as all clients send it": func() answer {
			return w.do("DELETE", raw+"/KEY", w.body("dev", "/", "secretName", "KEY", "type", "shared"))
		},
		"the query alone": func() answer { return w.do("DELETE", raw+"/KEY"+w.at("dev", "/", "type", "shared"), nil) },
		"an empty object": func() answer { return w.do("DELETE", raw+"/KEY"+w.at("dev", "/"), "{}") },
		"blanks":          func() answer { return w.do("DELETE", raw+"/KEY"+w.at("dev", "/"), " \n") },
		"null":            func() answer { return w.do("DELETE", raw+"/KEY"+w.at("dev", "/"), "null") },
		"the project's slug as id": func() answer {
			return w.do("DELETE", raw+"/KEY", map[string]any{"workspaceId": "shop", "environment": "dev"})
		},
		"v4": func() answer {
			return w.do("DELETE", "/api/v4/secrets/KEY", map[string]any{"projectId": w.project.ID, "environment": "dev"})
		},
		"a body before a wrong query": func() answer { return w.do("DELETE", raw+"/KEY"+w.at("nowhere", "/x"), w.body("dev", "/")) },
	} {
		w.set("dev", "/", "KEY", "v")
		if a := del(); a.status != 200 || w.object(a)["secret"].(map[string]any)["secretKey"] != "KEY" {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
		w.refused(404, "not_found", "GET", raw+"/KEY"+w.at("dev", "/"), nil)
	}
}

func TestABatchIsAllOrNothing(t *testing.T) {
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		w := newWire(t, engine)
		type item = map[string]any
		send := func(method string, more ...any) (string, map[string]any) { return method, w.body("dev", "/", more...) }
		here := func() []string { return w.list(raw + w.at("dev", "/")) }
		check := func(step string, want ...string) {
			t.Helper()
			if diff := cmp.Diff(append([]string{}, want...), here()); diff != "" {
				t.Errorf("after %s (-want +got):\n%s", step, diff)
			}
		}
		bad := func(status int, kind, method string, more ...any) {
			t.Helper()
			m, b := send(method, more...)
			w.refused(status, kind, m, batched, b)
		}
		good := func(method string, more ...any) []any {
			t.Helper()
			m, b := send(method, more...)
			return w.ok(m, batched, b)["secrets"].([]any)
		}

		if got := good("POST", "secrets", []item{{"secretKey": "B", "secretValue": "2"}, {"secretKey": "A", "secretValue": "1"}}); len(got) != 2 || got[0].(item)["secretKey"] != "B" {
			t.Errorf("a batch answers in the order it was asked: %v", got)
		}
		check("create", "/A=1", "/B=2")
		bad(400, "exists", "POST", "secrets", []item{{"secretKey": "C", "secretValue": canary}, {"secretKey": "A", "secretValue": canary}})
		bad(400, "exists", "POST", "secrets", []item{{"secretKey": "C", "secretValue": canary}, {"secretKey": "C", "secretValue": canary}})
		bad(400, "invalid", "POST", "secrets", []item{{"secretKey": "C", "secretValue": canary}, {"secretKey": "no/no", "secretValue": canary}})
		bad(400, "invalid", "POST", "secrets", []item{{"secretValue": canary}})
		bad(400, "invalid", "POST", "secrets", []any{nil})
		bad(400, "invalid", "POST", "secrets", []item{})
		bad(400, "invalid", "POST", "secrets", nil)
		bad(400, "invalid", "POST")
		bad(400, "invalid", "POST", "secrets", make([]item, 1001))
		check("refused creates", "/A=1", "/B=2")

		bad(404, "not_found", "PATCH", "secrets", []item{{"secretKey": "A", "secretValue": canary}, {"secretKey": "Z", "secretValue": canary}})
		bad(404, "not_found", "PATCH", "mode", "failOnNotFound", "secrets", []item{{"secretKey": "A", "secretValue": canary}, {"secretKey": "Z"}})
		bad(400, "invalid", "PATCH", "mode", canary, "secrets", []item{{"secretKey": "A", "secretValue": canary}})
		check("refused updates", "/A=1", "/B=2")
		if got := good("PATCH", "mode", "ignore", "secrets", []item{{"secretKey": "A", "secretValue": "3"}, {"secretKey": "Z", "secretValue": "9"}}); len(got) != 1 {
			t.Errorf("ignored: %v", got)
		}
		if got := good("PATCH", "mode", "ignore", "secrets", []item{{"secretKey": "Z", "secretValue": "9"}}); len(got) != 0 {
			t.Errorf("all ignored: %v", got)
		}
		check("ignore", "/A=3", "/B=2")
		good("PATCH", "mode", "upsert", "secrets", []item{{"secretKey": "A", "secretValue": "4"}, {"secretKey": "Z", "secretValue": "9"}})
		check("upsert", "/A=4", "/B=2", "/Z=9")
		good("PATCH", "secrets", []item{{"secretKey": "A", "newSecretName": "T"}, {"secretKey": "B", "newSecretName": "A"}, {"secretKey": "T", "newSecretName": "B"}})
		check("a swap", "/A=2", "/B=4", "/Z=9")

		bad(404, "not_found", "DELETE", "secrets", []item{{"secretKey": "A"}, {"secretKey": "nope"}})
		bad(404, "not_found", "DELETE", "secrets", []item{{"secretKey": "A"}, {"secretKey": "A"}})
		check("refused deletes", "/A=2", "/B=4", "/Z=9")
		good("DELETE", "secrets", []item{{"secretKey": "A", "type": "shared"}, {"secretName": "Z"}})
		check("delete", "/B=4")
	})
}

func TestOfManyCreatesOfOneKeyExactlyOneWins(t *testing.T) {
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		w := newWire(t, engine)
		statuses := inParallel(16, func(i int) int {
			return w.do("POST", raw+"/KEY", w.body("dev", "/", "secretValue", fmt.Sprint(i))).status
		})
		if won := count(statuses, 200); won != 1 || won+count(statuses, 400) != len(statuses) {
			t.Errorf("statuses: %v", statuses)
		}
	})
}

func TestManyUpdatesCountVersionsWithoutGaps(t *testing.T) {
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		w := newWire(t, engine)
		w.set("dev", "/", "KEY", "first")
		const n = 24
		versions := inParallel(n, func(i int) int {
			a := w.do("PATCH", raw+"/KEY", w.body("dev", "/", "secretValue", fmt.Sprint("value ", i)))
			if a.status != 200 {
				t.Errorf("update %d: %d %s", i, a.status, a.body)
				return 0
			}
			return int(w.object(a)["secret"].(map[string]any)["version"].(float64))
		})
		for v := 2; v <= n+1; v++ {
			if count(versions, v) != 1 {
				t.Errorf("version %d was answered %d times: %v", v, count(versions, v), versions)
			}
		}
		// Each version holds the value of the update that was answered with it.
		for i, v := range versions {
			if got := w.get("dev", "/", "KEY", "version", fmt.Sprint(v))["secretValue"]; got != fmt.Sprint("value ", i) {
				t.Errorf("version %d holds %v, want that of update %d", v, got, i)
			}
		}
	})
}

// inParallel runs n at once and gives what each returned.
func inParallel(n int, do func(i int) int) []int {
	all := make([]int, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { all[i] = do(i) })
	}
	group.Wait()
	return all
}

func count(all []int, want int) (n int) {
	for _, one := range all {
		if one == want {
			n++
		}
	}
	return n
}

func TestAFolderHoldsTenThousandKeysAndNoMore(t *testing.T) {
	w := newWire(t, kmstest.SQLite)
	folder := w.ok("POST", "/api/v1/folders", w.body("dev", "", "name", "full"))["folder"].(map[string]any)["id"].(string)
	// Rows that nobody opens are enough to be counted.
	err := w.kms.Store().Update(t.Context(), func(tx *store.Tx) error {
		for i := range api.MaxFolderKeys - 1 {
			s := store.Secret{ID: store.NewID(), FolderID: folder, Key: fmt.Sprint("KEY", i), Version: 1, VersionID: store.NewID(), HeadMAC: []byte{1}}
			if err := tx.AddSecret(t.Context(), s, store.SecretVersion{ID: s.VersionID, SecretID: s.ID, Version: 1, Key: s.Key, Value: []byte{1}, ActorType: "identity"}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	w.refused(400, "invalid", "POST", batched, w.body("dev", "/full", "secrets", []map[string]any{{"secretKey": "X", "secretValue": canary}, {"secretKey": "Y", "secretValue": canary}}))
	w.ok("POST", raw+"/X", w.body("dev", "/full", "secretValue", "the last"))
	if got := w.refused(400, "invalid", "POST", raw+"/Y", w.body("dev", "/full", "secretValue", canary)); !strings.Contains(got, "10000") {
		t.Errorf("the message does not say the limit: %q", got)
	}
	w.ok("PATCH", raw+"/X", w.body("dev", "/full", "secretValue", "changed"))
}
