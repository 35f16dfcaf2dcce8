package acceptance_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	infisical "github.com/infisical/go-sdk"
)

func TestGoSDKManagesFolders(t *testing.T) {
	p := newProject(t)
	folders := loggedIn(t, p, "member").Folders()
	create := func(path, name string) string {
		t.Helper()
		made, err := folders.Create(infisical.CreateFolderOptions{ProjectID: p.id, Environment: "dev", Path: path, Name: name})
		if err != nil {
			t.Fatalf("create %s in %s: %v", name, path, err)
		}
		if made.ID == "" || made.Name != name || time.Since(made.CreatedAt) > time.Hour || made.EnvironmentID == "" {
			t.Errorf("create %s answered %+v", name, made)
		}
		return made.ID
	}
	expect := func(path string, want ...string) {
		t.Helper()
		all, err := folders.List(infisical.ListFoldersOptions{ProjectID: p.id, Environment: "dev", Path: path})
		if err != nil {
			t.Fatalf("list %s: %v", path, err)
		}
		var names []string
		for _, f := range all {
			names = append(names, f.Name)
		}
		if diff := cmp.Diff(want, names); diff != "" {
			t.Errorf("folders of %s (-want +got):\n%s", path, diff)
		}
	}

	create("/", "web")
	deploy := create("", "deploy")
	create("/deploy", "images")
	expect("", "deploy", "web")
	expect("/deploy", "images")

	if _, err := folders.Update(infisical.UpdateFolderOptions{FolderID: deploy, ProjectID: p.id, Environment: "dev", NewName: "release"}); err != nil {
		t.Fatalf("rename: %v", err)
	}
	expect("", "release", "web")
	expect("/release", "images")

	if _, err := folders.Delete(infisical.DeleteFolderOptions{FolderName: "images", ProjectID: p.id, Environment: "dev", Path: "/release"}); err != nil {
		t.Fatalf("delete by name: %v", err)
	}
	if _, err := folders.Delete(infisical.DeleteFolderOptions{FolderID: deploy, ProjectID: p.id, Environment: "dev"}); err != nil {
		t.Fatalf("delete by id: %v", err)
	}
	expect("", "web")
	_, err := folders.List(infisical.ListFoldersOptions{ProjectID: p.id, Environment: "dev", Path: "/release"})
	expectAPIError(t, err, 404)
}
