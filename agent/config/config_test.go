package config_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hanzoai/kms/agent/config"
)

const least = `{
	"version": 1,
	"credentials": {"clientIdFile": "/kms/auth/id", "clientSecretFile": "/kms/auth/secret"},
	"sources": [{"project": "app", "environment": "prod"}]
}`

func TestLittleIsNeededAndTheRestHasDefaults(t *testing.T) {
	c, err := config.Parse([]byte(least))
	if err != nil {
		t.Fatal(err)
	}
	want := config.Config{
		Version: 1, Server: "https://kms.hanzo.ai", Directory: "/kms/secrets", Mode: "0400", PollInterval: "60s",
		Credentials: config.Credentials{ClientIDFile: "/kms/auth/id", ClientSecretFile: "/kms/auth/secret"},
		Sources:     []config.Source{{Project: "app", Environment: "prod", Path: "/"}},
	}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Error(diff)
	}
	if c.Interval() != time.Minute || c.FileMode() != 0o400 || !c.FilePerKey() {
		t.Errorf("interval %v, mode %v, files %v", c.Interval(), c.FileMode(), c.FilePerKey())
	}
}

func TestEveryFieldIsRead(t *testing.T) {
	want := config.Config{
		Version: 1, Server: "http://kms:8080", CAFile: "/ca.pem", TLSServerName: "kms.internal",
		Credentials: config.Credentials{ClientIDFile: "/id", ClientSecretFile: "/secret"},
		Sources: []config.Source{
			{Project: "app", Environment: "prod", Path: "/a", Recursive: true, ExpandReferences: new(false)},
			{Project: "shared", Environment: "prod", Path: "/"},
		},
		Directory: "/run/s", Files: new(false), Dotenv: ".env", Mode: "0440", GID: new(1000), AllowDisk: true,
		PollInterval: "5s", Notify: &config.Notify{PIDFile: "/run/app.pid", Signal: "SIGUSR1"},
	}
	data, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := config.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestEachProblemSaysWhereItIsAndWhatWouldBeRight(t *testing.T) {
	// with is the least configuration with one more or another field.
	with := func(field string) string {
		return strings.Replace(least, `"version": 1,`, `"version": 1, `+field+`,`, 1)
	}
	without := func(old, new string) string { return strings.Replace(least, old, new, 1) }
	tests := []struct {
		name, config string
		want         []string // one for each problem, in order
	}{
		{"nothing", ``, []string{"not JSON: see line 1, column 1"}},
		{"not JSON", "{\n\"version\": 1,,}", []string{"not JSON: see line 2, column 14"}},
		{"two values", least + least, []string{"not JSON: see line 5, column 2"}},
		{"a list", `[]`, []string{"the whole: must be an object, not a list"}},
		{"null", `null`, []string{"the whole: must be an object, not null"}},
		{"an empty object", `{}`, []string{"version: is missing: give 1", "credentials.clientIdFile: must be an absolute path",
			"credentials.clientSecretFile: must be an absolute path", "sources: is missing or empty"}},
		{"a newer version", without(`"version": 1`, `"version": 2`), []string{"version: is one that this agent does not know"}},
		{"a misspelt field", with(`"dirctory": "/x"`), []string{`dirctory: there is no such field: did you mean "directory"?`}},
		{"a field in capitals", with(`"Server": "https://kms"`), []string{`Server: there is no such field: did you mean "server"?`}},
		{"a field of another tool", with(`"templates": []`), []string{`templates: there is no such field: there are version, server`}},
		{"a part of a name", with(`"interval": "5s"`), []string{`interval: there is no such field: did you mean "pollInterval"?`}},
		{"a secret where a path belongs", without(`"clientSecretFile"`, `"clientSecret"`), []string{
			`credentials.clientSecret: there is no such field: did you mean "clientSecretFile"?`, "credentials.clientSecretFile: must be an absolute path"}},
		{"a misspelt field of a source", without(`"environment"`, `"enviroment"`), []string{
			`sources[0].enviroment: there is no such field: did you mean "environment"?`, "sources[0].environment: is missing"}},
		{"a field given twice", with(`"mode": "0400", "mode": "0440"`), []string{"mode: is given twice"}},
		{"a number for a string", with(`"mode": 400`), []string{"mode: must be a string, not a number"}},
		{"a string for a number", without(`"version": 1`, `"version": "1"`), []string{"version: must be a whole number, not a string"}},
		{"a fraction", with(`"gid": 1.5`), []string{"gid: must be a whole number"}},
		{"a number beyond all", with(`"gid": 99999999999`), []string{"gid: must be a whole number"}},
		{"an object for a list", without(`[{"project": "app", "environment": "prod"}]`, `{"project": {"deep": [1]}}`), []string{"sources: must be a list, not an object"}},
		{"a string for a source", without(`{"project": "app", "environment": "prod"}`, `"app"`), []string{"sources[0]: must be an object, not a string"}},
		{"null for a list", without(`[{"project": "app", "environment": "prod"}]`, `null`), []string{"sources: must be a list, not null"}},
		{"no sources", without(`{"project": "app", "environment": "prod"}`, ``), []string{"sources: is missing or empty"}},
		{"a folder twice", without(`"prod"}`, `"prod"}, {"project": "app", "environment": "prod", "path": "/"}`), []string{"sources[1]: is the same folder"}},
		{"a walk", without(`"prod"}`, `"prod", "path": "/a/../b"}`), []string{"sources[0].path: must be a folder such as /a/b"}},
		{"a server without scheme", with(`"server": "kms:8080"`), []string{"server: must be of the form https://host"}},
		{"a server with a password", with(`"server": "https://a:canary@kms"`), []string{"server: must be of the form https://host"}},
		{"a relative directory", with(`"directory": "secrets"`), []string{"directory: must be an absolute path below /"}},
		{"the root directory", with(`"directory": "/x/.."`), []string{"directory: must be an absolute path below /"}},
		{"a dotenv elsewhere", with(`"dotenv": "../.env"`), []string{"dotenv: must be the name of a file"}},
		{"a dotenv of the layout", with(`"dotenv": "..data"`), []string{"dotenv: must be the name of a file"}},
		{"nothing to write", with(`"files": false`), []string{"files: is false and there is no dotenv"}},
		{"a decimal mode", with(`"mode": "0999"`), []string{"mode: must be octal"}},
		{"a mode that others may write", with(`"mode": "0666"`), []string{"mode: must be octal"}},
		{"a mode that nobody may read", with(`"mode": "0000"`), []string{"mode: must be octal"}},
		{"a negative group", with(`"gid": -1`), []string{"gid: must not be negative"}},
		{"a poll that is too fast", with(`"pollInterval": "10ms"`), []string{"pollInterval: must be a duration"}},
		{"a poll without unit", with(`"pollInterval": "60"`), []string{"pollInterval: must be a duration"}},
		{"nobody to notify", with(`"notify": {}`), []string{"notify.pidFile: must be an absolute path"}},
		{"a signal that ends", with(`"notify": {"pidFile": "/p", "signal": "SIGKILL"}`), []string{"notify.signal: must be one of SIGHUP"}},
		{"all at once", with(`"dirctory": "/x", "mode": 400, "pollInterval": "0s"`), []string{"dirctory", "mode: must be a string", "pollInterval"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := config.Parse([]byte(test.config))
			var problems *config.Error
			if !errors.As(err, &problems) {
				t.Fatalf("got %v, want problems", err)
			}
			if len(problems.Problems) != len(test.want) {
				t.Fatalf("got %q, want %d problems", problems.Problems, len(test.want))
			}
			for i, want := range test.want {
				if !strings.Contains(problems.Problems[i], want) {
					t.Errorf("got %q, want %q", problems.Problems[i], want)
				}
			}
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("the error repeats a value: %v", err)
			}
		})
	}
}

func TestTheConfigurationComesFromAFileOrAVariable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "agent.json")
	if err := os.WriteFile(file, []byte(least), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, file, text string
		good             bool
	}{
		{"a file", file, "", true},
		{"a variable", "", least, true},
		{"the file wins", file, "{", true},
		{"neither", "", "", false},
		{"a file that is not there", file + "x", least, false},
	}
	for _, test := range tests {
		if _, err := config.Load(test.file, test.text); (err == nil) != test.good {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte(least))
	f.Add([]byte(`{"version":1,"sources":[{"project":"a","environment":"b","path":"/x"}],"notify":{"pidFile":"/p"},"gid":1}`))
	f.Add([]byte(`[[[{"a":null}]]]`))
	f.Add([]byte(`{"sources":{"a":[1,{"b":2}]},"files":null,"version":1e3}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := config.Parse(data)
		if err != nil {
			var problems *config.Error
			if !errors.As(err, &problems) || len(problems.Problems) == 0 {
				t.Fatalf("the error is none of ours: %v", err)
			}
			return
		}
		// What is taken can be written and is taken again as the same.
		again, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		back, err := config.Parse(again)
		if err != nil {
			t.Fatalf("%s: %v", again, err)
		}
		if diff := cmp.Diff(c, back); diff != "" {
			t.Error(diff)
		}
	})
}
