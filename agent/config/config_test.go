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

const least = `{"version": 1, "sources": [{"project": "app", "environment": "prod"}]}`

// with is the least configuration with more fields.
func with(fields string) string { return strings.Replace(least, `{`, `{`+fields+`, `, 1) }

// problem is a configuration that somebody could write, and what is said
// of it: one beginning for each problem, in order.
type problem struct {
	name, config string
	want         []string
}

func checkProblems(t *testing.T, tests []problem) {
	t.Helper()
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := config.Parse([]byte(test.config))
			if len(test.want) == 0 && err == nil {
				return
			}
			var problems *config.Error
			if !errors.As(err, &problems) {
				t.Fatalf("got %v, want problems", err)
			}
			if len(problems.Problems) != len(test.want) {
				t.Fatalf("got %q, want %d problems", problems.Problems, len(test.want))
			}
			for i, want := range test.want {
				if !strings.HasPrefix(problems.Problems[i], want) {
					t.Errorf("got %q, want %q", problems.Problems[i], want)
				}
			}
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("the error repeats a value: %v", err)
			}
		})
	}
}

func mustParse(t *testing.T, text string) config.Config {
	t.Helper()
	c, err := config.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestLittleIsNeededAndTheRestHasDefaults(t *testing.T) {
	want := config.Config{
		Version: 1, Server: "https://kms.hanzo.ai", Directory: "/kms/secrets", Mode: "0400", WriteMode: "symlink",
		MaxSize: "4MiB", PollInterval: "60s", OnRevoked: "keep", Debounce: "250ms", Splay: "0s", TerminationLog: "/dev/termination-log",
		Sources: []config.Source{{Project: "app", Environment: "prod", Path: "/"}},
		Exec:    config.Exec{OnChange: "restart", Signal: "SIGHUP", StopSignal: "SIGTERM", Grace: "30s"},
	}
	if diff := cmp.Diff(want, mustParse(t, least)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want, mustParse(t, with(`"server": "", "gid": null, "exec": {}`))); diff != "" {
		t.Errorf("what is empty is not what is left out: %s", diff)
	}
}

func TestWhatIsListedHasDefaultsToo(t *testing.T) {
	got := mustParse(t, with(`"outputs": [{}], "notify": [{"wrapper": true}, {"process": "app"}]`))
	if diff := cmp.Diff([]config.Output{{Format: "files", OnMissing: "error"}}, got.Outputs); diff != "" {
		t.Error(diff)
	}
	want := []config.Target{{Wrapper: true, Timeout: "30s"}, {Process: "app", Signal: "SIGHUP", Timeout: "30s"}}
	if diff := cmp.Diff(want, got.Notify); diff != "" {
		t.Error(diff)
	}
	beside := mustParse(t, with(`"fallback": {"directory": "/f"}, "report": {"url": "https://r", "tokenFile": "/t"}`))
	if got := beside.Fallback.After + " " + beside.Report.Splay; got != "30s 5s" {
		t.Errorf("the fallback and the report have %q", got)
	}
}

func TestEveryFieldIsRead(t *testing.T) {
	for _, want := range []config.Config{full, wrapped} {
		data, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, mustParse(t, string(data))); diff != "" {
			t.Error(diff)
		}
	}
}

// full has every field with something else than its default, but for those of
// wrapped.
var full = config.Config{
	Version: 1, Server: "http://kms:8080", CAFile: "/ca.pem", TLSServerName: "kms.internal", Proxy: "http://proxy:3128",
	Credentials: config.Credentials{ClientIDFile: "/id", ClientSecretFile: "/secret", RevokeOnExit: true},
	Sources: []config.Source{
		{Project: "app", Environment: "prod", Path: "/a", Recursive: true, ExpandReferences: new(false)},
		{Project: "app", Environment: "prod", Path: "/b", Keys: []string{"A", "B"}, Rename: map[string]string{"A": "a.bin"}, Prefix: "X_"},
	},
	Directory: "/run/s", Mode: "0440", GID: new(1000), WriteMode: "rename", Previous: true, MaxSize: "64KiB", AllowDisk: true,
	Outputs: []config.Output{
		{Format: "files", Keys: []string{"a.bin", "X_B"}, Base64: []string{"a.bin"}, Mode: "0400", GID: new(0), OnMissing: "keep"},
		{Format: "template", File: "a.conf", Template: "[[ .X_B ]]", Delimiters: []string{"[[", "]]"}, OnMissing: "empty"},
		{Format: "template", File: "b.conf", TemplateFile: "/b.tmpl", OnMissing: "error"},
	},
	PollInterval: "5s", OnRevoked: "delete", Debounce: "1s", Splay: "1h", Listen: "[::1]:9092", TerminationLog: "/log",
	Notify: []config.Target{
		{PIDFile: "/run/app.pid", Signal: "SIGUSR1", Timeout: "1s"},
		{Process: "nginx: master", Signal: "SIGHUP", Timeout: "30s"},
		{Wrapper: true, Timeout: "30s"},
		{Command: []string{"reload", "--now"}, Timeout: "10m"},
		{URL: "http://127.0.0.2:80/reload?now=1", Timeout: "30s"},
	},
	Exec:     config.Exec{OnChange: "signal", Signal: "SIGUSR2", StopSignal: "SIGINT", Grace: "1h"},
	Fallback: config.Fallback{Directory: "/kms/fallback", After: "1m"},
	Report:   config.Report{URL: "https://reports:8444/report", CA: authority, TokenFile: "/kms/report/token", Splay: "0s"},
}

var wrapped = config.Config{
	Version: 1, Server: "https://kms.hanzo.ai", Directory: "/kms/secrets", Mode: "0400", WriteMode: "symlink",
	MaxSize: "4MiB", PollInterval: "60s", OnRevoked: "exit", Debounce: "250ms", Splay: "0s", TerminationLog: "/dev/termination-log",
	Exec: config.Exec{File: "env.json", Keys: []string{"A"}, OnChange: "none", Signal: "SIGHUP", StopSignal: "SIGTERM", Grace: "30s"},
}

// authority is a certificate whose key nobody has.
const authority = `-----BEGIN CERTIFICATE-----
MIIBdTCCARugAwIBAgIUbPUHPi3TLixCoSqN6wSypzUNmbYwCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEdGVzdDAgFw0yNjExMjQxODMxMTVaGA8yMTI2MTAzMTE4MzEx
NVowDzENMAsGA1UEAwwEdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABHkX
lTQQ2Hj6F71p5JY1aJiwjJvs/MH/s5k3aWpOUNWCubCKnkurRVPf2H/P82lb0uWM
mdTJXi97M3pPlZuSC0ijUzBRMB0GA1UdDgQWBBScVWCUu3gOdV+TzwqpyWUKsv4p
RjAfBgNVHSMEGDAWgBScVWCUu3gOdV+TzwqpyWUKsv4pRjAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0gAMEUCIQCuLGMH9fR6M7KCSPoW97LFptVVSa/BkyE8
tle3KAuIRwIgK27Ei3DJfVhXa1oUhBI+gE++ovtV0ngj3cOGfur2YIE=
-----END CERTIFICATE-----
`

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

func TestTextsThatWereParsedHaveAMeaning(t *testing.T) {
	for text, want := range map[string]int64{"64KiB": 64 << 10, "4MiB": 4 << 20, "1GiB": 1 << 30, "65537B": 65537,
		"": 0, "MiB": 0, "4": 0, "4MB": 0, "4 MiB": 0, "-4MiB": 0, "1.5MiB": 0, "4Mi": 0, "99999999999GiB": 0} {
		if got := config.Bytes(text); got != want {
			t.Errorf("Bytes(%q) = %d, want %d", text, got, want)
		}
	}
	if got := config.Duration("1m30s"); got != 90*time.Second {
		t.Errorf("Duration: %v", got)
	}
	if got := config.FileMode("0440"); got != 0o440 {
		t.Errorf("FileMode: %v", got)
	}
}

func TestAFileNameStaysInTheDirectoryAndOutOfItsLayout(t *testing.T) {
	for _, name := range []string{"A", ".env", "a..b", "a b", strings.Repeat("a", 255)} {
		if !config.IsFileName(name) {
			t.Errorf("%q is refused", name)
		}
	}
	for _, name := range []string{"", ".", "..", "...", "..data", "a/b", "/a", "a\x00", strings.Repeat("a", 256)} {
		if config.IsFileName(name) {
			t.Errorf("%q is taken", name)
		}
	}
}

func TestANameInTheSetIsTheNewOneOrHasThePrefix(t *testing.T) {
	s := config.Source{Prefix: "DB_", Rename: map[string]string{"KEYSTORE": "db.p12"}}
	if got := s.Name("KEYSTORE") + " " + s.Name("USER"); got != "db.p12 DB_USER" {
		t.Error(got)
	}
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte(least))
	f.Add(config.Example())
	for _, c := range []config.Config{full, wrapped} {
		data, err := json.Marshal(c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`[[[{"a":null}]]]`))
	f.Add([]byte(`{"sources":{"a":[1,{"b":2}]},"files":null,"version":1e3,"outputs":[],"exec":{"":{}}}`))
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
