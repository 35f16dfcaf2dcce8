package main_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/sdk"
)

// fetching is the site with an agent that reads the sources to a file per key.
func (s *site) fetching(sources ...object) *site {
	s.t.Helper()
	s.pod = s.with(s.t, object{"sources": sources, "outputs": nil, "notify": nil})
	return s
}

// folder makes folders of prod, each in the one before.
func (s *site) folder(names ...string) (path string) {
	s.t.Helper()
	for _, name := range names {
		_, err := s.Admin().CreateFolder(s.t.Context(), s.scope("prod", path+"/"), name, "")
		s.must(err)
		path += "/" + name
	}
	return path
}

// found are the files that an application sees, with their content.
func (s *site) found() map[string]string {
	s.t.Helper()
	files := map[string]string{}
	entries, err := os.ReadDir(s.dir)
	s.must(err)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "..") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(s.dir, e.Name()))
		s.must(err)
		files[e.Name()] = string(text)
	}
	return files
}

func TestSourcesChooseWhatIsReadAndWhatItIsCalled(t *testing.T) {
	tests := []struct {
		name    string
		sources []object
		files   map[string]string // nil: refused
		says    string
	}{
		{"one folder", []object{{"project": "app", "environment": "prod"}}, map[string]string{"A": "a", "B": "b"}, ""},
		{"with the folders below", []object{{"project": "app", "environment": "prod", "recursive": true}}, map[string]string{"A": "a", "B": "b", "DEEP": "deep", "DEEPER": "deeper"}, ""},
		{"a folder below", []object{{"project": "app", "environment": "prod", "path": "/one"}}, map[string]string{"DEEP": "deep"}, ""},
		{"single keys", []object{{"project": "app", "environment": "prod", "keys": []string{"B"}}}, map[string]string{"B": "b"}, ""},
		{"renamed and prefixed", []object{{"project": "app", "environment": "prod", "rename": object{"A": "first"}, "prefix": "X_"}}, map[string]string{"first": "a", "X_B": "b"}, ""},
		{"a key that is renamed", []object{{"project": "app", "environment": "prod", "keys": []string{"A"}, "rename": object{"A": "first"}}}, map[string]string{"first": "a"}, ""},
		{"two projects", []object{{"project": "app", "environment": "prod"}, {"project": "other", "environment": "dev", "prefix": "O_"}}, map[string]string{"A": "a", "B": "b", "O_A": "other"}, ""},
		{"references as they are", []object{{"project": "app", "environment": "prod", "path": "/refers", "expandReferences": false}}, map[string]string{"R": "${prod.A}"}, ""},
		{"references", []object{{"project": "app", "environment": "prod", "path": "/refers"}}, map[string]string{"R": "a"}, ""},
		{"one name of two projects", []object{{"project": "app", "environment": "prod"}, {"project": "other", "environment": "dev"}}, nil, `BadConfig: the name "A" comes from app prod:/ and from other dev:/`},
		{"one name after renaming", []object{{"project": "app", "environment": "prod", "rename": object{"A": "B"}}}, nil, `BadConfig: the name "B" comes from app prod:/ and from app prod:/`},
		{"a key that is not there", []object{{"project": "app", "environment": "prod", "keys": []string{"A", "NONE"}}}, nil, `NotFound: render files: there is no secret "NONE"`},
		{"a renamed key that is not there", []object{{"project": "app", "environment": "prod", "rename": object{"NONE": "some"}}}, nil, `NotFound: render files: there is no secret "some"`},
	}
	s := newSite(t)
	s.put("A", "a", "B", "b")
	deep, deeper := s.folder("one"), s.folder("two", "three")
	s.Put(s.project, "prod", deep, "DEEP", "deep")
	s.Put(s.project, "prod", deeper, "DEEPER", "deeper")
	other := s.Project("other")
	s.Put(other, "dev", "/", "A", "other")
	_, err := s.Admin().AddIdentityToProject(t.Context(), other.ID, s.who.IdentityID, api.MembershipRole{Role: "viewer"})
	s.must(err)
	refers := *s
	refers.Put(s.project, "prod", s.folder("refers"), "R", "${prod.A}")
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := *s
			s.t, s.pod = t, newPod(t, s.URL, s.who.ClientSecret)
			s.writeCredentials(s.who)
			if test.sources[0]["recursive"] != nil { // the reference would be one more name
				test.files["R"] = "a"
			}
			a := s.fetching(test.sources...).run("init", "-timeout", "1s")
			err := a.Wait()
			if test.files == nil {
				a.says("kms-agent: " + test.says)
				if _, err := os.Stat(s.dir + "/..data"); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("files were written: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.files, s.found()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAnIdentityThatMayReadSomeKeysNeedsNoRightToTheOthers(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	values := []string{s.Value(), s.Value(), s.Value()}
	s.put("DB_URL", values[0], "DB_USER", values[0], "OTHER", values[0])
	_, err := s.Admin().CreateRole(t.Context(), s.project.ID, sdk.RoleInput{Slug: "db", Name: "db",
		Rules: []api.Rule{{Actions: []string{"secrets:read"}, Environments: []string{"prod"}, Keys: []string{"DB_*"}}}})
	s.must(err)
	s.who = s.Identity(s.project, "db")
	s.writeCredentials(s.who)
	s.fetching(object{"project": "app", "environment": "prod", "keys": []string{"DB_URL", "DB_USER"}})
	a := s.run("run")
	s.awaitFile("DB_URL", values[0])
	s.awaitFile("DB_USER", values[0])
	if reads := s.audited("read"); reads != 2 {
		t.Errorf("%d reads, want 2", reads)
	}

	// Another key of the folder is nothing to this agent.
	s.put("OTHER", values[1])
	s.polls(4)
	if reads := s.audited("read"); reads != 2 {
		t.Errorf("after a change of another key: %d reads, want 2", reads)
	}

	s.put("DB_URL", values[2])
	s.awaitFile("DB_URL", values[2])
	if reads := s.audited("read"); reads != 4 {
		t.Errorf("after a change of one key: %d reads, want it and the other once more", reads)
	}
	a.terminate()

	s.fetching(object{"project": "app", "environment": "prod", "keys": []string{"DB_URL", "OTHER"}})
	refused := s.run("init")
	refused.Wait()
	refused.says("kms-agent: Forbidden", "key OTHER")
	s.expectNoTrace(a, values...)
	s.expectNoTrace(refused, values...)
}

func TestAMissingKeyIsTreatedAsItsOutputSays(t *testing.T) {
	t.Parallel()
	tests := []struct {
		onMissing string
		files     map[string]string // once the key is gone
		says      string
		result    string // of the refreshes after that
	}{
		{"error", map[string]string{"A": "1", "B": "1"}, `there is no secret \"B\"`, "failed"},
		{"empty", map[string]string{"A": "1", "B": ""}, `"generation":"..2"`, "unchanged"},
		{"keep", map[string]string{"A": "1", "B": "1"}, "", "unchanged"},
	}
	all := newSite(t)
	for _, test := range tests {
		t.Run(test.onMissing, func(t *testing.T) {
			t.Parallel()
			s := all.beside(t, test.onMissing)
			s.put("A", "1", "B", "1")
			s.fetching(object{"project": test.onMissing, "environment": "prod", "keys": []string{"A", "B"}})
			s.pod = s.with(t, object{"outputs": []object{{"onMissing": test.onMissing}}})
			a := s.run("run")
			s.awaitFile("B", "1")
			_, err := s.Admin().Delete(t.Context(), s.scope("prod", "/"), "B")
			s.must(err)
			if test.says != "" {
				a.says(test.says)
			}
			s.awaitCount(t, "polls_total{result=\""+test.result+"\"}", 2)
			if diff := cmp.Diff(test.files, s.found()); diff != "" {
				t.Error(diff)
			}
			s.put("B", "2")
			s.awaitFile("B", "2")
			a.terminate()
		})
	}
}

func TestAChangeInOneSourceReadsTheOtherOnceMoreAndARestartReadsNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	values := []string{s.Value(), s.Value()}
	s.put("A", values[0])
	s.Put(s.project, "dev", "/", "B", values[0])
	s.fetching(object{"project": "app", "environment": "prod"}, object{"project": "app", "environment": "dev"})
	a := s.run("run")
	s.awaitFile("B", values[0])
	s.put("A", values[1])
	s.awaitFile("A", values[1])
	s.awaitFile("B", values[0])
	if reads, logins := s.audited("read"), s.audited("login"); reads != 4 || logins != 1 {
		t.Errorf("%d reads and %d logins, want 4 and 1", reads, logins)
	}
	a.terminate()

	before := s.lying(t)
	again := s.run("run")
	s.polls(4)
	if reads, logins := s.audited("read"), s.audited("login"); reads != 4 || logins != 2 {
		t.Errorf("after a restart: %d reads and %d logins, want 4 and 2", reads, logins)
	}
	s.expectProbes(t, "after a restart", 200, 200, "")
	again.terminate()
	ignoreSocket := func(lines []string) (rest []string) {
		for _, line := range lines[1:] { // the first is the directory itself
			if !strings.Contains(line, "..agent.sock") {
				rest = append(rest, line)
			}
		}
		return rest
	}
	if diff := cmp.Diff(ignoreSocket(before), ignoreSocket(s.lying(t))); diff != "" {
		t.Errorf("a restart touched the files: %s", diff)
	}
	s.expectNoTrace(again, values...)
}
