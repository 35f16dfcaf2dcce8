package httpapi_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hanzoai/kms/server/kmstest"
)

func TestTagsAreMadeChangedAndTakenOff(t *testing.T) {
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		w := newWire(t, engine)
		for prefix, name := range map[string]string{"/api/v1/projects/": "tag", "/api/v1/workspace/": "workspaceTag"} {
			tags := prefix + w.project.ID + "/tags"
			made := w.do("POST", tags, map[string]any{"slug": "db", "color": "#fff"})
			if want := `{"` + name + `":{"id":"A","slug":"db","name":"db","color":"#fff"}}`; stable(made.body) != want {
				t.Errorf("made: %s", made.body)
			}
			id := w.object(made)[name].(map[string]any)["id"].(string)
			w.refused(400, "exists", "POST", tags, map[string]any{"slug": "db"})
			for _, slug := range []any{nil, "", "A", "a b", canary, strings.Repeat("x", 65), "a\x00"} {
				w.refused(400, "invalid", "POST", tags, map[string]any{"slug": slug})
			}
			w.refused(400, "invalid", "POST", tags, map[string]any{"slug": "x", "color": strings.Repeat("f", 33)})
			w.refused(400, "invalid", "POST", tags, map[string]any{"slug": "x", "color": "\x00" + canary})
			for _, target := range []string{tags + "/" + id, tags + "/slug/db"} {
				if got := w.do("GET", target, nil).body; got != made.body {
					t.Errorf("%s: %s", target, got)
				}
			}
			if got := w.do("GET", tags, nil).body; !strings.HasPrefix(got, `{"`+name+`s":[{"id":`) {
				t.Errorf("all: %s", got)
			}
			w.set("dev", "/", "KEY", "v", "tagIds", []string{id})
			w.ok("PATCH", tags+"/"+id, map[string]any{"slug": "database", "color": nil})
			if got := fmt.Sprint(w.get("dev", "/", "KEY")["tags"]); got != "[map[color:<nil> id:"+id+" name:database slug:database]]" {
				t.Errorf("on the secret: %s", got)
			}
			w.ok("DELETE", tags+"/"+id, nil)
			if got := fmt.Sprint(w.get("dev", "/", "KEY")["tags"]); got != "[]" {
				t.Errorf("after deletion: %s", got)
			}
			for _, method := range []string{"GET", "DELETE"} {
				w.refused(404, "not_found", method, tags+"/"+id, nil)
			}
			w.refused(404, "not_found", "GET", tags+"/slug/db", nil)
			w.refused(404, "not_found", "PATCH", tags+"/"+id, map[string]any{"slug": "x"})
		}
	})
}
