package httpapi_test

import (
	"strings"
	"testing"

	"github.com/hanzoai/kms/server/kmstest"

	"github.com/google/go-cmp/cmp"
)

const wantProject = `{"id":"A","_id":"A","name":"shop","slug":"shop","description":null,"type":"secret-manager","orgId":"B","autoCapitalization":false,"hasDeleteProtection":false,` +
	`"pitVersionLimit":10,"auditLogsRetentionDays":365,"version":3,"upgradeStatus":null,"secretSharing":false,"createdAt":"T","updatedAt":"T","environments":[` +
	`{"id":"C","name":"Development","slug":"dev","position":1,"projectId":"A","accessLevel":"open"},` +
	`{"id":"D","name":"Staging","slug":"staging","position":2,"projectId":"A","accessLevel":"open"},` +
	`{"id":"E","name":"Production","slug":"prod","position":3,"projectId":"A","accessLevel":"restricted"}]}`

func TestAProjectIsAnsweredUnderTheNameOfEachRoute(t *testing.T) {
	w := newWire(t, kmstest.SQLite)
	id := w.project.ID
	for target, want := range map[string]string{
		"/api/v2/workspace/shop":             wantProject,
		"/api/v2/workspace/" + id:            wantProject,
		"/api/v1/projects/slug/shop":         wantProject,
		"/api/v1/workspace/slug/shop":        wantProject,
		"/api/v1/workspace/" + id:            `{"workspace":` + wantProject + `}`,
		"/api/v1/projects/" + id:             `{"project":` + wantProject + `}`,
		"/api/v1/workspace":                  `{"workspaces":[` + wantProject + `]}`,
		"/api/v1/projects":                   `{"projects":[` + wantProject + `]}`,
		"/v1/workspace/":                     `{"workspaces":[` + wantProject + `]}`,
		"/api/v1/projects/shop/environments": `{"environments":` + strings.NewReplacer(`"A"`, `"B"`, `"C"`, `"A"`, `"D"`, `"C"`, `"E"`, `"D"`).Replace(wantProject[strings.Index(wantProject, "[{"):len(wantProject)-1]) + `}`,
	} {
		if diff := cmp.Diff(want, stable(w.do("GET", target, nil).body)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", target, diff)
		}
	}
	for _, route := range []string{"/api/v1/projects/", "/api/v1/projects/slug/", "/api/v2/workspace/", "/api/v1/workspace/", "/api/v1/workspace/slug/"} {
		for _, unknown := range []string{"nope", "01890000-0000-7000-8000-000000000000", "SHOP", "%24%7Bx%7D", canary[:8], "a%20b"} {
			if canary[:8] == unknown {
				continue
			}
			w.refused(404, "not_found", "GET", route+unknown, nil)
		}
	}
	outsider := w.role("")
	outsider.refused(403, "denied", "GET", "/api/v1/projects/slug/shop", nil)
	if got := outsider.do("GET", "/api/v1/projects", nil).body; got != `{"projects":[]}` {
		t.Errorf("a stranger sees %s", got)
	}
}

func TestAProjectFollowsItsRules(t *testing.T) {
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		w := newWire(t, engine)
		create := func(more ...any) map[string]any {
			body := map[string]any{"projectName": "Name"}
			for i := 0; i+1 < len(more); i += 2 {
				body[more[i].(string)] = more[i+1]
			}
			return body
		}
		for _, slug := range []string{"a", "hanzo-iam", "0", strings.Repeat("x", 64)} {
			w.ok("POST", "/api/v2/workspace", create("slug", slug))
		}
		for _, slug := range []string{"A", "a_b", "a b", "-a", "a-", "é", "a/b", "..", "a\x00", strings.Repeat("x", 65), "01890000-0000-7000-8000-000000000000", canary} {
			w.refused(400, "invalid", "POST", "/api/v1/projects", create("slug", slug))
			w.refused(400, "invalid", "PATCH", "/api/v1/projects/"+w.project.ID, map[string]any{"slug": slug})
		}
		for _, name := range []any{nil, "", "  ", " a", "a\x00", "a\x1b[2J" + canary, strings.Repeat("é", 65)} {
			w.refused(400, "invalid", "POST", "/api/v1/projects", create("projectName", name))
		}
		w.refused(400, "invalid", "POST", "/api/v1/projects", create("projectDescription", strings.Repeat("x", 1025)))
		w.refused(400, "invalid", "POST", "/api/v1/projects", create("shouldCreateDefaultEnvs", false))
		w.refused(404, "not_found", "POST", "/api/v1/projects", create("organizationId", canary))
		w.refused(400, "exists", "POST", "/api/v1/projects", create("slug", "shop"))
		w.refused(400, "exists", "PATCH", "/api/v2/workspace/a", map[string]any{"slug": "shop"})

		for name, prefix := range map[string]string{"My Shop!": "my-shop", "магазин": "project", strings.Repeat("Long ", 12): "long-long"} {
			made := w.ok("POST", "/api/v1/projects", create("projectName", strings.TrimSpace(name), "slug", nil))["project"].(map[string]any)
			if slug := made["slug"].(string); !strings.HasPrefix(slug, prefix+"-") {
				t.Errorf("%q gets the slug %q", name, slug)
			}
		}
		w.ok("PATCH", "/api/v2/workspace/shop", map[string]any{"name": "Store", "slug": "store", "description": "d", "hasDeleteProtection": true})
		w.refused(404, "not_found", "GET", "/api/v2/workspace/shop", nil)
		got := w.ok("PATCH", "/api/v1/projects/"+w.project.ID, map[string]any{"name": nil, "slug": nil, "description": nil, "hasDeleteProtection": nil})["project"].(map[string]any)
		if got["name"] != "Store" || got["slug"] != "store" || got["description"] != "d" || got["hasDeleteProtection"] != true {
			t.Errorf("nulls changed it: %v", got)
		}
		w.refused(400, "invalid", "DELETE", "/api/v1/projects/"+w.project.ID, nil)
		w.ok("PATCH", "/api/v2/workspace/store", map[string]any{"hasDeleteProtection": false})
		w.set("prod", "/", "KEY", "v")
		w.role("viewer").refused(403, "denied", "DELETE", "/api/v2/workspace/store", nil)
		w.ok("DELETE", "/api/v2/workspace/store", nil)
		w.refused(404, "not_found", "GET", raw+w.at("prod", "/"), nil)
		w.refused(404, "not_found", "GET", "/api/v1/projects/"+w.project.ID, nil)
		w.ok("POST", "/api/v1/projects", create("slug", "store")) // the slug is free again

		statuses := inParallel(6, func(int) int { return w.do("POST", "/api/v1/projects", create("slug", "race")).status })
		if count(statuses, 200) != 1 || count(statuses, 400) != 5 {
			t.Errorf("of many creates of one slug: %v", statuses)
		}
	})
}
