package httpapi_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hanzoai/kms/server/kmstest"

	"github.com/google/go-cmp/cmp"
)

func (w *wire) environments() string { return "/api/v1/workspace/" + w.project.ID + "/environments" }

// environmentID is the id of an environment by its slug.
func (w *wire) environmentID(slug string) string {
	w.Helper()
	return w.ok("GET", "/api/v1/projects/"+w.project.ID+"/environments/slug/"+slug, nil)["environment"].(map[string]any)["id"].(string)
}

func TestTheDefaultEnvironmentsAreThereAndStay(t *testing.T) {
	w := newWire(t, kmstest.SQLite)
	for _, slug := range []string{"dev", "staging", "prod", "production"} {
		id := w.environmentID(slug)
		w.refused(400, "invalid", "DELETE", w.environments()+"/"+id, nil)
		w.refused(400, "invalid", "PATCH", w.environments()+"/"+id, map[string]any{"slug": "other"})
		if slug != "production" {
			w.refused(400, "exists", "POST", w.environments(), map[string]any{"name": "X", "slug": slug, "distinct": true})
		}
		w.ok("PATCH", w.environments()+"/"+id, map[string]any{"name": "Renamed", "position": 5, "slug": nil, "accessLevel": nil})
	}
	w.refused(400, "invalid", "POST", "/api/v2/workspace", map[string]any{"projectName": "P", "shouldCreateDefaultEnvs": false})
}

func TestProdAndProductionAreOneEnvironment(t *testing.T) {
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		w := newWire(t, engine)
		w.folder("production", "/", "f")
		w.set("prod", "/", "A", "1")
		w.set("production", "/f", "B", "2")
		for _, slug := range []string{"prod", "production"} {
			for _, target := range []string{raw + w.at(slug, "/", "recursive", "true"), "/api/v4/secrets" + w.at(slug, "/", "recursive", "true")} {
				if diff := cmp.Diff([]string{"/A=1", "/f/B=2"}, w.list(target)); diff != "" {
					t.Errorf("%s: %s", slug, diff)
				}
			}
			if got := w.get(slug, "/", "A")["environment"]; got != slug {
				t.Errorf("asked for %s, answered %v", slug, got)
			}
			if got := w.ok("PATCH", raw+"/A", w.body(slug, "/", "secretValue", "1"))["secret"].(map[string]any)["environment"]; got != slug {
				t.Errorf("wrote to %s, answered %v", slug, got)
			}
			w.refused(400, "exists", "POST", raw+"/A", w.body(slug, "/", "secretValue", canary))
		}
		byID := w.ok("GET", raw+"/id/"+w.get("production", "/", "A")["id"].(string), nil)["secret"].(map[string]any)
		if byID["environment"] != "prod" {
			t.Errorf("by id: %v", byID["environment"])
		}
		prod := w.environmentID("prod")
		made := w.ok("POST", w.environments(), map[string]any{"name": "Production", "slug": "production"})
		if env := made["environment"].(map[string]any); env["id"] != prod || env["slug"] != "production" || made["workspace"] != w.project.ID {
			t.Errorf("making the twin answers %v, want the environment that is there, %s", made, prod)
		}
		made = w.ok("POST", w.environments(), map[string]any{"name": "Production", "slug": "production", "distinct": true})
		if env := made["environment"].(map[string]any); env["id"] == prod || env["slug"] != "production" {
			t.Errorf("made distinct: %v", made)
		}
		w.set("production", "/", "A", "other")
		if a, b := w.get("prod", "/", "A")["secretValue"], w.get("production", "/", "A")["secretValue"]; a != "1" || b != "other" {
			t.Errorf("two distinct environments hold %v and %v", a, b)
		}
		w.refused(400, "exists", "POST", w.environments(), map[string]any{"name": "P", "slug": "production"})
	})
}

func TestAnEnvironmentIsMadeChangedAndDeleted(t *testing.T) {
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		w := newWire(t, engine)
		made := w.ok("POST", w.environments(), map[string]any{"name": "QA", "slug": "qa", "position": nil})
		env := made["environment"].(map[string]any)
		id := env["id"].(string)
		if env["position"] != 4.0 || env["projectId"] != w.project.ID || env["accessLevel"] != "open" || made["message"] == "" || made["workspace"] != w.project.ID {
			t.Errorf("made: %v", made)
		}
		for _, body := range []map[string]any{
			{}, {"name": "X"}, {"slug": "x"}, {"name": "X", "slug": "X Y"}, {"name": " ", "slug": "x"}, {"name": "X", "slug": canary}, {"name": "X", "slug": "x", "position": 0},
			{"name": "X", "slug": "x", "position": 101}, {"name": "X", "slug": "x", "accessLevel": canary}, {"name": strings.Repeat("x", 65), "slug": "x"},
		} {
			w.refused(400, "invalid", "POST", w.environments(), body)
		}
		w.refused(400, "exists", "POST", w.environments(), map[string]any{"name": "QA", "slug": "qa"})
		w.refused(400, "exists", "PATCH", w.environments()+"/"+id, map[string]any{"slug": "production"})
		secret := w.set("qa", "/", "KEY", "v")["id"].(string)
		tag := w.do("GET", raw+"/id/"+secret, nil).header.Get("ETag")
		w.ok("PATCH", w.environments()+"/"+id, map[string]any{"slug": "test"})
		w.refused(404, "not_found", "GET", raw+w.at("qa", "/"), nil)
		if got := w.do("GET", raw+"/id/"+secret, nil, "If-None-Match", tag); got.status != 200 || !strings.Contains(got.body, `"environment":"test"`) {
			t.Errorf("by id after a rename: %d %s", got.status, got.body)
		}
		if got := w.ok("GET", "/api/v1/workspace/environments/"+id, nil)["environment"].(map[string]any)["slug"]; got != "test" {
			t.Errorf("by id: %v", got)
		}
		w.refused(404, "not_found", "GET", "/api/v1/workspace/environments/nope", nil)
		w.refused(404, "not_found", "PATCH", w.environments()+"/nope", map[string]any{"name": "X"})
		w.ok("DELETE", w.environments()+"/"+id, nil)
		w.refused(404, "not_found", "GET", raw+w.at("test", "/"), nil)
		w.refused(404, "not_found", "GET", raw+"/id/"+secret, nil)
		w.ok("POST", w.environments(), map[string]any{"name": "QA", "slug": "test"})
		if got := w.list(raw + w.at("test", "/")); len(got) != 0 {
			t.Errorf("made again it holds %v", got)
		}
		var slugs []any
		for _, e := range w.ok("GET", w.environments(), nil)["environments"].([]any) {
			slugs = append(slugs, e.(map[string]any)["slug"])
		}
		if fmt.Sprint(slugs) != "[dev staging prod test]" {
			t.Errorf("in their order: %v", slugs)
		}
	})
}
