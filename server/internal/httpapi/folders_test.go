package httpapi_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hanzoai/kms/server/kmstest"

	"github.com/google/go-cmp/cmp"
)

const folders = "/api/v1/folders"

// folder makes a folder and gives its id.
func (w *wire) folder(environment, path, name string) string {
	w.Helper()
	return w.ok("POST", folders, map[string]any{"workspaceId": w.project.ID, "environment": environment, "path": path, "name": name})["folder"].(map[string]any)["id"].(string)
}

// tree lists the paths of all folders below a path.
func (w *wire) tree(environment, path string) []string {
	w.Helper()
	all := []string{}
	for _, f := range w.ok("GET", folders+"?recursive=true&environment="+environment+"&workspaceId="+w.project.ID+"&path="+path, nil)["folders"].([]any) {
		all = append(all, f.(map[string]any)["path"].(string))
	}
	return all
}

func TestFoldersAreMadeListedRenamedAndDeleted(t *testing.T) {
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		w := newWire(t, engine)
		b := w.folder("dev", "/a", "b") // with /a above it
		w.folder("dev", "", "z")
		w.folder("dev", "/a/", "c")
		w.refused(400, "exists", "POST", folders, map[string]any{"workspaceId": "shop", "environment": "dev", "name": "a"})
		if diff := cmp.Diff([]string{"/a", "/a/b", "/a/c", "/z"}, w.tree("dev", "/")); diff != "" {
			t.Errorf("all (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"/a/b", "/a/c"}, w.tree("dev", "/a")); diff != "" {
			t.Errorf("below /a (-want +got):\n%s", diff)
		}
		got := w.do("GET", folders+"?workspaceId=shop&environment=dev&directory=/a/", nil)
		const want = `{"folders":[{"id":"A","name":"b","envId":"B","parentId":"C","isReserved":false,"version":1,"description":null,"createdAt":"T","updatedAt":"T","path":"/a/b"},` +
			`{"id":"D","name":"c","envId":"B","parentId":"C","isReserved":false,"version":1,"description":null,"createdAt":"T","updatedAt":"T","path":"/a/c"}]}`
		if diff := cmp.Diff(want, stable(got.body)); diff != "" {
			t.Errorf("a list (-want +got):\n%s", diff)
		}
		one := w.ok("GET", folders+"/"+b, nil)["folder"].(map[string]any)
		if env := one["environment"].(map[string]any); one["path"] != "/a/b" || one["projectId"] != w.project.ID || env["envSlug"] != "dev" || env["envName"] != "Development" || env["envId"] != one["envId"] {
			t.Errorf("one folder: %v", one)
		}

		secret := w.set("dev", "/a/b", "KEY", "v")["id"].(string)
		a := w.ok("GET", folders+"?workspaceId=shop&environment=dev", nil)["folders"].([]any)[0].(map[string]any)["id"].(string)
		w.refused(400, "exists", "PATCH", folders+"/"+a, w.body("dev", "", "path", "/", "name", "z"))
		w.ok("PATCH", folders+"/"+a, w.body("dev", "", "path", "/", "name", "new", "description", "d"))
		if got := w.ok("GET", raw+"/id/"+secret, nil)["secret"].(map[string]any); got["secretPath"] != "/new/b" || got["secretValue"] != "v" {
			t.Errorf("after a rename above it the secret is %v", got)
		}
		w.refused(404, "not_found", "GET", raw+w.at("dev", "/a/b"), nil)

		w.refused(400, "invalid", "DELETE", "/api/v2/folders/"+a, map[string]any{"projectId": w.project.ID, "environment": "dev", "path": "/", "forceDelete": false})
		w.refused(400, "invalid", "DELETE", "/api/v2/folders/"+b, map[string]any{"projectId": w.project.ID, "environment": "dev"})
		w.ok("DELETE", "/api/v2/folders/c", map[string]any{"projectId": w.project.ID, "environment": "dev", "path": "/new"})
		w.ok("DELETE", "/api/v2/folders/"+b, map[string]any{"projectId": w.project.ID, "environment": "dev", "forceDelete": true})
		w.refused(404, "not_found", "GET", raw+"/id/"+secret, nil)
		w.refused(404, "not_found", "GET", folders+"/"+b, nil)
		w.folder("dev", "/new/b", "deep")
		w.set("dev", "/new/b", "KEY", "v")
		w.ok("DELETE", folders+"/new", map[string]any{"workspaceId": w.project.ID, "folderName": "new", "environment": "dev", "directory": "/"})
		if diff := cmp.Diff([]string{"/z"}, w.tree("dev", "/")); diff != "" {
			t.Errorf("after deletion (-want +got):\n%s", diff)
		}
		w.refused(404, "not_found", "DELETE", folders+"/new", w.body("dev", "", "path", "/"))
		w.refused(404, "not_found", "DELETE", folders+"/z", w.body("prod", "", "path", "/"))
	})
}

func TestAFolderNameAndItsDepthHaveLimits(t *testing.T) {
	w := newWire(t, kmstest.SQLite)
	for _, name := range []string{"a", "A-b_9", "root", strings.Repeat("x", 255)} {
		w.folder("dev", "/", name)
	}
	for _, name := range []string{"", " ", "a b", "a.b", ".", "..", "a/b", "a\\b", "é", "\u0430", "a\u200b", "a\x00", "a\n", canary, strings.Repeat("x", 256)} {
		w.refused(400, "invalid", "POST", folders, w.body("dev", "", "path", "/", "name", name))
		w.refused(400, "invalid", "PATCH", folders+"/a", w.body("dev", "", "path", "/", "name", name))
	}
	w.refused(400, "invalid", "POST", folders, w.body("dev", "", "path", "/", "name", nil))
	w.refused(400, "invalid", "POST", folders, w.body("dev", "", "path", "/", "name", "ok", "description", "a\x07"+canary))
	deep := strings.Repeat("/d", 19)
	w.folder("dev", deep, "d")
	w.set("dev", deep+"/d", "KEY", "v")
	if got := w.get("dev", deep+"/d/", "KEY")["secretPath"]; got != deep+"/d" {
		t.Errorf("20 levels: %v", got)
	}
	w.refused(400, "invalid", "POST", folders, w.body("dev", "", "path", deep+"/d", "name", "d"))
	w.refused(400, "invalid", "GET", raw+w.at("dev", deep+"/d/d"), nil)
	// A rename must not make paths that no request can name any more.
	long := strings.Repeat("y", 250)
	w.folder("staging", "/a/"+strings.Repeat(long+"/", 7), long)
	w.refused(400, "invalid", "PATCH", folders+"/a", w.body("staging", "", "path", "/", "name", strings.Repeat("z", 255)))
}

func TestAPathWithASlashAtItsEndIsTheSameFolder(t *testing.T) {
	w := newWire(t, kmstest.SQLite)
	for _, name := range []string{"database", "api-keys", "oauth"} {
		w.folder("prod", "/", name)
		w.set("prod", "/"+name, "KEY", name)
		for _, path := range []string{"/" + name, "/" + name + "/", name, name + "/"} {
			if diff := cmp.Diff([]string{"/" + name + "/KEY=" + name}, w.list(raw+w.at("prod", path))); diff != "" {
				t.Errorf("%s: %s", path, diff)
			}
		}
	}
	w.set("prod", "/", "KEY", "root")
	if diff := cmp.Diff([]string{"/KEY=root"}, w.list(raw+w.at("prod", "/"))); diff != "" {
		t.Error(diff)
	}
}

func TestOfManyCreatesOfOneFolderExactlyOneWins(t *testing.T) {
	kmstest.OnBoth(t, func(t *testing.T, engine string) {
		w := newWire(t, engine)
		statuses := inParallel(8, func(int) int { return w.do("POST", folders, w.body("dev", "", "path", "/p", "name", "f")).status })
		if count(statuses, 200) != 1 || count(statuses, 400) != 7 {
			t.Errorf("statuses: %v", statuses)
		}
		if got := fmt.Sprint(w.tree("dev", "/")); got != "[/p /p/f]" {
			t.Errorf("folders: %s", got)
		}
	})
}
