package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os/exec"
	"strings"
	"testing"

	"github.com/hanzoai/kms/server/kmstest"

	"github.com/google/go-cmp/cmp"
)

const twoSecrets = `{"secrets":[{"id":"A","_id":"A","workspace":"B","environment":"prod","version":1,"type":"shared","secretKey":"A","secretValue":"1","secretComment":"","secretPath":"/",` +
	`"secretValueHidden":false,"tags":[],"secretMetadata":[],"skipMultilineEncoding":false,"secretReminderNote":null,"secretReminderRepeatDays":null,"createdAt":"T","updatedAt":"T",` +
	`"actor":{"actorId":"C","actorType":"identity","name":"Instance Admin Identity","membershipId":null,"groupId":null},"isRotatedSecret":false,"rotationId":null},` +
	`{"id":"D","_id":"D","workspace":"B","environment":"prod","version":2,"type":"shared","secretKey":"B","secretValue":"<hidden-by-infisical>","secretComment":"","secretPath":"/",` +
	`"secretValueHidden":true,"tags":[],"secretMetadata":[],"skipMultilineEncoding":false,"secretReminderNote":null,"secretReminderRepeatDays":null,"createdAt":"T","updatedAt":"T",` +
	`"actor":{"actorId":"C","actorType":"identity","name":"Instance Admin Identity","membershipId":null,"groupId":null},"isRotatedSecret":false,"rotationId":null}],"imports":[]}`

func TestAListIsAnsweredInExactlyTheseBytes(t *testing.T) {
	w := newWire(t, kmstest.SQLite)
	if got := w.do("GET", raw+w.at("prod", "/"), nil); got.body != `{"secrets":[],"imports":[]}` {
		t.Errorf("an empty folder: %s", got.body)
	}
	w.set("prod", "/", "B", "x")
	w.set("prod", "/", "B", "2")
	w.set("prod", "/", "A", "1")
	shown, hidden := w.do("GET", raw+w.at("prod", "/"), nil), w.do("GET", raw+w.at("prod", "/", "viewSecretValue", "false"), nil)
	want := strings.NewReplacer(`"<hidden-by-infisical>"`, `"2"`, `"secretValueHidden":true`, `"secretValueHidden":false`).Replace(twoSecrets)
	if diff := cmp.Diff(want, stable(shown.body)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	want = strings.NewReplacer(`"1","secretComment"`, `"<hidden-by-infisical>","secretComment"`, `"secretValueHidden":false`, `"secretValueHidden":true`).Replace(twoSecrets)
	if diff := cmp.Diff(want, stable(hidden.body)); diff != "" {
		t.Errorf("names only (-want +got):\n%s", diff)
	}
}

func TestACompactListHoldsWhatItTakesToUseTheSecrets(t *testing.T) {
	w := newWire(t, kmstest.SQLite)
	w.set("prod", "/", "B", "x", "secretComment", "why")
	w.set("prod", "/", "B", "a \"quoted\"\nline")
	w.set("prod", "/", "A", "1")
	compact := w.do("GET", raw+w.at("prod", "/", "compact", "true"), nil)
	want := `{"secrets":[{"secretKey":"A","secretValue":"1","secretPath":"/","version":1},` +
		`{"secretKey":"B","secretValue":"a \"quoted\"\nline","secretPath":"/","version":2}],"imports":[]}`
	if diff := cmp.Diff(want, compact.body); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	full := w.do("GET", raw+w.at("prod", "/"), nil)
	if tag := full.header.Get("ETag"); tag == "" || tag == compact.header.Get("ETag") {
		t.Errorf("the tag of the compact list is that of the full one, %s", tag)
	}
	if got := w.list(raw + w.at("prod", "/", "compact", "true", "metadataFilter", "key=a,value=b")); len(got) != 0 {
		t.Errorf("a filter by metadata is not obeyed: %v", got)
	}
}

func TestAListIsSortedByBytesAndTheSameEachTime(t *testing.T) {
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		w := newWire(t, engine)
		for _, path := range []string{"/", "/a", "/a/b", "/a-b", "/B"} {
			if path != "/" {
				w.ok("POST", "/api/v1/folders", w.body("dev", "", "name", path[strings.LastIndex(path, "/")+1:], "path", path[:strings.LastIndex(path, "/")+1]))
			}
			for _, key := range []string{"b", "_", "B", "A10", "A9", "a.b", "a-b", "~", "!"} {
				w.set("dev", path, key, "v")
			}
		}
		var want []string
		for _, path := range []string{"/", "/B", "/a", "/a-b", "/a/b"} {
			for _, key := range []string{"!", "A10", "A9", "B", "_", "a-b", "a.b", "b", "~"} {
				want = append(want, strings.TrimSuffix(path, "/")+"/"+key+"=v")
			}
		}
		target := raw + w.at("dev", "/", "recursive", "true")
		if diff := cmp.Diff(want, w.list(target)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		first := w.do("GET", target, nil)
		for range 100 {
			if again := w.do("GET", target, nil); again.body != first.body || again.header.Get("ETag") != first.header.Get("ETag") {
				t.Fatalf("the same list is answered differently:\n%s\n%s", first.body, again.body)
			}
		}
		w.kms.Stop()
		w.kms.Start()
		if again := w.do("GET", target, nil); again.body != first.body || again.header.Get("ETag") != first.header.Get("ETag") {
			t.Error("after a restart the same list is answered differently")
		}
	})
}

func TestAListShowsItsFolderAloneUnlessAskedForAllBelow(t *testing.T) {
	w := newWire(t, kmstest.SQLite)
	w.ok("POST", "/api/v1/folders", w.body("dev", "", "name", "b", "path", "/a"))
	w.ok("POST", "/api/v1/folders", w.body("dev", "", "name", "ab"))
	for path, key := range map[string]string{"/": "ROOT", "/a": "A", "/a/b": "AB", "/ab": "OTHER"} {
		w.set("dev", path, key, "v")
	}
	for _, test := range []struct {
		path, recursive string
		want            []string
	}{
		{"/", "", []string{"/ROOT=v"}}, {"/a", "false", []string{"/a/A=v"}}, {"/a/", "0", []string{"/a/A=v"}}, {"a", "", []string{"/a/A=v"}}, {"", "", []string{"/ROOT=v"}},
		{"/", "true", []string{"/ROOT=v", "/a/A=v", "/a/b/AB=v", "/ab/OTHER=v"}}, {"/a", "1", []string{"/a/A=v", "/a/b/AB=v"}}, {"/a/b", "True", []string{"/a/b/AB=v"}},
	} {
		if diff := cmp.Diff(test.want, w.list(raw+w.at("dev", test.path, "recursive", test.recursive))); diff != "" {
			t.Errorf("%q recursive %q (-want +got):\n%s", test.path, test.recursive, diff)
		}
	}
	w.refused(400, "invalid", "GET", raw+w.at("dev", "/", "recursive", canary), nil)
}

// The shapes in which real clients and pipelines ask for lists and secrets.
func TestEverySpellingOfAReadFindsTheSame(t *testing.T) {
	w := newWire(t, kmstest.SQLite)
	viewer := w.role("viewer") // of this project alone, so that it may leave its name out
	w.ok("POST", "/api/v1/folders", w.body("prod", "", "name", "deploy"))
	w.set("prod", "/", "KEY", "root")
	w.set("prod", "/deploy", "KEY", "deploy")
	id := w.project.ID
	for name, target := range map[string]string{
		"slug":                        "/api/v3/secrets/raw?environment=prod&workspaceSlug=shop&secretPath=/",
		"id":                          "/api/v3/secrets/raw?workspaceId=" + id + "&environment=prod",
		"slug as id":                  "/api/v3/secrets/raw?workspaceId=shop&secretPath=/&environment=prod",
		"id as slug":                  "/api/v3/secrets/raw?workspaceSlug=" + id + "&environment=prod",
		"projectId":                   "/api/v3/secrets/raw?projectId=" + id + "&environment=prod",
		"projectSlug":                 "/api/v3/secrets/raw?projectSlug=shop&environment=prod",
		"slug as projectId":           "/api/v4/secrets?projectId=shop&environment=prod",
		"imports and references":      "/api/v3/secrets/raw?workspaceId=" + id + "&environment=prod&secretPath=/&include_imports=true&expandSecretReferences=true",
		"an empty id":                 "/api/v3/secrets/raw?workspaceId=&workspaceSlug=shop&environment=prod&secretPath=/&expandSecretReferences=false&include_imports=false&recursive=false",
		"an empty slug":               "/api/v3/secrets/raw?workspaceId=" + id + "&workspaceSlug=&environment=prod&secretPath=&expandSecretReferences=&recursive=&tagSlugs=&metadataFilter=&viewSecretValue=",
		"the CLI":                     "/api/v4/secrets?environment=prod&expandSecretReferences=true&includeImports=true&includePersonalOverrides=true&projectId=" + id + "&recursive=false&secretPath=%2F",
		"the list route":              "/api/v3/secrets/list?projectSlug=shop&environment=prod&secretPath=/",
		"v1 raw, project implied":     "/api/v1/secrets/raw?secretPath=/&environment=prod",
		"v1":                          "/api/v1/secrets?workspaceId=" + id + "&environment=prod",
		"a slash at the end":          "/api/v3/secrets/raw/?workspaceSlug=shop&environment=prod",
		"no /api":                     "/v3/secrets/raw?workspaceSlug=shop&environment=prod",
		"neither":                     "/v4/secrets/?projectId=shop&environment=prod",
		"production":                  "/api/v3/secrets/raw?workspaceSlug=shop&environment=production",
		"parameters of other clients": "/api/v3/secrets/raw?workspaceSlug=shop&environment=prod&secretName=X&foldersPath=&directory=&unknown=1",
	} {
		if diff := cmp.Diff([]string{"/KEY=root"}, viewer.list(target)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		deploy := strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(target, "&secretPath=/&", "&"), "?secretPath=/&", "?"), "&secretPath=%2F", "") + "&secretPath=/deploy/"
		deploy = strings.ReplaceAll(deploy, "&secretPath=&", "&")
		deploy = strings.Replace(deploy, "&secretPath=/&secretPath", "&secretPath", 1)
		if diff := cmp.Diff([]string{"/deploy/KEY=deploy"}, viewer.list(deploy)); diff != "" {
			t.Errorf("%s, folder (%s): %s", name, deploy, diff)
		}
	}
	for name, target := range map[string]string{
		"pipelines":       "/api/v3/secrets/raw/KEY?workspaceSlug=shop&environment=prod&secretPath=/&viewSecretValue=true&include_imports=true",
		"with both":       "/api/v3/secrets/raw/KEY?workspaceSlug=shop&workspaceId=" + id + "&environment=production&secretPath=/&expandSecretReferences=true&include_imports=true&viewSecretValue=true&version=1",
		"Go SDK":          "/api/v3/secrets/raw/KEY?environment=prod&secretPath=/&type=shared&workspaceId=" + id + "&expandSecretReferences=true&include_imports=false",
		"Node SDK":        "/api/v3/secrets/raw/KEY?secretName=KEY&workspaceId=" + id + "&environment=prod&expandSecretReferences=true&includeImports=true&secretPath=%2F&type=shared&viewSecretValue=true",
		"v4, no path":     "/api/v4/secrets/KEY?projectId=" + id + "&environment=prod",
		"v1":              "/api/v1/secrets/raw/KEY?workspaceId=" + id + "&environment=production",
		"escaped letters": "/api/v3/secrets/raw/%4BEY/?workspaceSlug=shop&environment=prod",
		"no /api":         "/v3/secrets/raw/KEY?workspaceSlug=shop&environment=prod",
	} {
		if got := viewer.ok("GET", target, nil)["secret"].(map[string]any)["secretValue"]; got != "root" {
			t.Errorf("%s: %v", name, got)
		}
	}
	// A store that was configured without anything learns what is missing.
	w.as("st."+canary).refused(401, "unauthenticated", "GET", raw, nil)
	w.as("").refused(401, "unauthenticated", "GET", raw, nil, "Authorization", "st."+canary)
	if got := viewer.refused(400, "invalid", "GET", raw, nil); !strings.Contains(got, "Missing project id or environment") {
		t.Errorf("without a query: %q", got)
	}
	if got := viewer.refused(400, "invalid", "GET", raw+"?workspaceId="+id, nil); !strings.Contains(got, "Missing project id or environment") {
		t.Errorf("without an environment: %q", got)
	}
	w.kms.Project("second") // its maker is a member of both
	w.refused(400, "invalid", "GET", raw+"?environment=prod", nil)
}

func TestWhatDoesNotExistIsNeverAnEmptyList(t *testing.T) {
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		w := newWire(t, engine)
		w.set("dev", "/", "KEY", "v")
		unknown := "01890000-0000-7000-8000-000000000000"
		for _, prefix := range []string{raw + "?", raw + "/KEY?", "/api/v4/secrets?", "/api/v1/secrets?", raw + "?recursive=true&", "/api/v1/folders?", raw + "?viewSecretValue=false&"} {
			for _, place := range []string{
				"workspaceSlug=nope&environment=dev", "workspaceId=" + unknown + "&environment=dev", "workspaceId=%2e%2e&environment=dev", "workspaceId=SHOP&environment=dev",
				"workspaceSlug=shop&environment=nope", "workspaceSlug=shop&environment=DEV", "workspaceSlug=shop&environment=" + unknown, "workspaceSlug=shop&environment=" + url.QueryEscape(canary),
				"workspaceSlug=shop&environment=dev&secretPath=/nope", "workspaceSlug=shop&environment=dev&secretPath=/KEY", "workspaceSlug=" + url.QueryEscape(canary) + "&environment=dev",
			} {
				w.refused(404, "not_found", "GET", prefix+place, nil)
			}
		}
		w.refused(404, "not_found", "POST", raw+"/KEY", w.body("dev", "/nope", "secretValue", canary))
		w.refused(404, "not_found", "POST", raw+"/KEY", w.body("nope", "/", "secretValue", canary))
		w.refused(404, "not_found", "PATCH", raw+"/KEY", w.body("dev", "/nope", "secretValue", canary))
		w.refused(404, "not_found", "DELETE", raw+"/KEY", w.body("dev", "/nope"))
		outsider := w.role("")
		outsider.refused(403, "denied", "GET", raw+w.at("dev", "/"), nil)
		outsider.refused(403, "denied", "GET", raw+w.at("nope", "/nope"), nil)
		w.as("not.a.token").refused(401, "unauthenticated", "GET", raw+w.at("dev", "/"), nil)
		w.as("").refused(401, "unauthenticated", "GET", raw+w.at("dev", "/"), nil)
	})
}

func TestListsAreFilteredByTagAndByMetadata(t *testing.T) {
	w := newWire(t, kmstest.SQLite)
	tag := func(slug string) string {
		return w.ok("POST", "/api/v1/projects/"+w.project.ID+"/tags", map[string]any{"slug": slug})["tag"].(map[string]any)["id"].(string)
	}
	db, web := tag("db"), tag("web")
	w.set("dev", "/", "A", "1", "tagIds", []string{db})
	w.set("dev", "/", "B", "2", "tagIds", []string{db, web}, "secretMetadata", []map[string]string{{"key": "owner", "value": "me,value=x"}})
	w.set("dev", "/", "C", "3", "secretMetadata", []map[string]string{{"key": "owner", "value": "you"}, {"key": "k", "value": "v"}})
	for _, test := range []struct {
		name, value string
		want        []string
	}{
		{"tagSlugs", "db", []string{"/A=1", "/B=2"}}, {"tagSlugs", "web", []string{"/B=2"}}, {"tagSlugs", "web, nope,db", []string{"/A=1", "/B=2"}}, {"tagSlugs", "nope", []string{}},
		{"tagSlugs", ",", []string{"/A=1", "/B=2", "/C=3"}},
		{"metadataFilter", "key=owner,value=you", []string{"/C=3"}}, {"metadataFilter", "key=owner,value=you|key=owner,value=me,value=x", []string{"/B=2", "/C=3"}},
		{"metadataFilter", "key=owner,value=", []string{}}, {"metadataFilter", "key=nope,value=you", []string{}},
	} {
		if diff := cmp.Diff(test.want, w.list(raw+w.at("dev", "/", test.name, test.value))); diff != "" {
			t.Errorf("%s=%s (-want +got):\n%s", test.name, test.value, diff)
		}
	}
	for _, filter := range []string{canary, "key=" + canary, "value=x,key=y", "|", strings.Repeat("key=a,value=b|", 10) + "key=a,value=b"} {
		w.refused(400, "invalid", "GET", raw+w.at("dev", "/", "metadataFilter", filter), nil)
	}
}

func TestAListSurvivesAnUnquotedEcho(t *testing.T) {
	w := newWire(t, kmstest.SQLite)
	for key, value := range map[string]string{"DOCKERHUB_USERNAME": "hanzo", "DOCKERHUB_TOKEN": `p"a'ss $HOME \n`, "PEM": "-----BEGIN-----\nabc=\n-----END-----\n", "URL": "postgres://u:p@h/db?x=1&y=2"} {
		w.set("prod", "/", key, value)
	}
	body := w.do("GET", "/api/v3/secrets/raw?environment=prod&workspaceSlug=shop&secretPath=/", nil).body
	if strings.ContainsAny(body, "\r\n\t") || strings.Contains(body, ": ") || strings.Contains(body, `", "`) {
		t.Errorf("not compact: %s", body)
	}
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("the workflow's shell is bash, and there is none")
	}
	command := exec.Command(bash, "-c", "echo $SECRETS")
	command.Env = []string{"SECRETS=" + body}
	echoed, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Secrets []struct{ SecretKey, SecretValue string }
	}
	if err := json.Unmarshal(echoed, &list); err != nil || len(list.Secrets) != 4 {
		t.Fatalf("after echo: %v, %d secrets", err, len(list.Secrets))
	}
	for _, s := range list.Secrets {
		if want := w.get("prod", "/", s.SecretKey)["secretValue"]; s.SecretValue != want {
			t.Errorf("%s: %q, want %q", s.SecretKey, s.SecretValue, want)
		}
	}
}

func TestTheTenProjectsOfTheStandardListWhatTheyWereGiven(t *testing.T) {
	w := newWire(t, kmstest.SQLite)
	counts := map[string]int{"hanzo-iam": 23, "gateway": 12, "chat": 8, "cloud": 15, "console": 10, "commerce": 8, "platform": 14, "bootnode": 6, "flow": 9, "zen": 7}
	for slug, n := range counts {
		w.kms.Project(slug)
		var all []map[string]string
		for i := range n {
			all = append(all, map[string]string{"secretKey": fmt.Sprintf("%s_%d", strings.ToUpper(strings.ReplaceAll(slug, "-", "_")), i), "secretValue": w.kms.Value()})
		}
		w.ok("POST", batched, map[string]any{"projectSlug": slug, "environment": "prod", "secrets": all})
	}
	total := 0
	for slug, n := range counts {
		got := len(w.list(raw + "?workspaceSlug=" + slug + "&environment=prod&secretPath=/"))
		if got != n {
			t.Errorf("%s lists %d secrets, want %d", slug, got, n)
		}
		total += got
	}
	if total != 112 {
		t.Errorf("%d secrets in all, want 112", total)
	}
}
