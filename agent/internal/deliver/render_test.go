package deliver_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hanzoai/kms/agent/config"
	"github.com/hanzoai/kms/agent/internal/deliver"
	"github.com/hanzoai/kms/sdk"
)

// source makes a source of KEY=value words in the folder /.
func source(name string, words ...string) deliver.Source {
	s := deliver.Source{Name: name}
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		s.Secrets = append(s.Secrets, sdk.Secret{SecretKey: key, SecretValue: value, SecretPath: "/"})
	}
	return s
}

func TestFilesAreMadeOfAllSources(t *testing.T) {
	sources := []deliver.Source{source("app prod", "B=two words", "A=1"), source("shared prod", "C=3")}
	const env = "A=1\nB='two words'\nC=3\n"
	tests := []struct {
		name   string
		config config.Config
		want   []deliver.File
	}{
		{"a file per key", config.Config{}, set("A=1", "B=two words", "C=3")},
		{"a dotenv file beside them", config.Config{Dotenv: "B.env"}, set("A=1", "B=two words", "B.env="+env, "C=3")},
		{"a dotenv file alone", config.Config{Files: new(false), Dotenv: ".env"}, set(".env=" + env)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := deliver.Render(test.config, sources)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAKeyThatCannotBeAFileIsAnErrorThatNamesIt(t *testing.T) {
	tests := []struct {
		name    string
		sources []deliver.Source
		want    []string // words of the error
	}{
		{"a key in two sources", []deliver.Source{source("app prod", "DB=canary"), source("shared prod", "DB=canary")}, []string{`"DB"`, "app prod:/", "shared prod:/"}},
		{"a walk", []deliver.Source{source("app prod", "../x=canary")}, []string{`"../x"`}},
		{"a path", []deliver.Source{source("app prod", "a/b=canary")}, []string{`"a/b"`}},
		{"a name of the layout", []deliver.Source{source("app prod", "..data=canary")}, []string{`"..data"`}},
		{"a dot", []deliver.Source{source("app prod", ".=canary")}, []string{`"."`}},
		{"nothing", []deliver.Source{source("app prod", "=canary")}, []string{`""`}},
		{"more than a name holds", []deliver.Source{source("app prod", strings.Repeat("k", 256)+"=canary")}, []string{"kkk"}},
		{"the dotenv file", []deliver.Source{source("app prod", ".env=canary")}, []string{`".env"`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := deliver.Render(config.Config{Dotenv: ".env"}, test.sources)
			if deliver.ReasonOf(err) != deliver.BadConfig {
				t.Fatalf("got %v, want %s", err, deliver.BadConfig)
			}
			for _, word := range test.want {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%v does not name %s", err, word)
				}
			}
			if strings.Contains(fmt.Sprintf("%v%+v", err, test.sources), "canary") {
				t.Error("a value is printed")
			}
		})
	}
}
