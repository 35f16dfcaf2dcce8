package main

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// It also shows that making the files again changes nothing.
func TestTheGeneratedFilesAreOfThisConfiguration(t *testing.T) {
	files, err := generate("../..")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s is stale, run go generate ./agent/config:\n%s", name, diff)
		}
	}
}

func TestACommentBecomesProseForWhoeverWritesJSON(t *testing.T) {
	fields := []field{{name: "pidFile", goName: "PIDFile"}, {name: "signal", goName: "Signal"}, {name: "url", goName: "URL"}}
	for _, test := range []struct{ comment, plain, markdown string }{
		{"PIDFile is a file.", "A file.", "A file."},
		{"PIDFile are files.", "Files.", "Files."},
		{"PIDFile takes a URL, or a Signal.", "Takes a url, or a signal.", "Takes a `url`, or a `signal`."},
		{`PIDFile sends it "signal".`, `Sends it "signal".`, "Sends it `\"signal\"`."},
		{`PIDFile is for "kms-agent exec".`, `For "kms-agent exec".`, "For `kms-agent exec`."},
		{`PIDFile is {"KEY": "name"}, or "".`, `{"KEY": "name"}, or "".`, "`{\"KEY\": \"name\"}`, or `\"\"`."},
		{"PIDFile is in DIR/..agent.sock, DIR/KEY.", "In DIR/..agent.sock, DIR/KEY.", "In `DIR/..agent.sock`, `DIR/KEY`."},
		{"PIDFile is of /healthz, and/or HTTPS_PROXY.", "Of /healthz, and/or HTTPS_PROXY.", "Of `/healthz`, and/or `HTTPS_PROXY`."},
	} {
		if got := prose(test.comment, "PIDFile", fields, plain); got != test.plain {
			t.Errorf("got %q, want %q", got, test.plain)
		}
		if got := prose(test.comment, "PIDFile", fields, markdown); got != test.markdown {
			t.Errorf("got %q, want %q", got, test.markdown)
		}
	}
}

func TestAFieldWithoutACommentIsAnError(t *testing.T) {
	source := t.TempDir() + "/config.go"
	if err := os.WriteFile(source, []byte("package config\n\n// Config is all.\ntype Config struct{ Version int }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readStructs(source); err == nil || !strings.Contains(err.Error(), "Config") {
		t.Error(err)
	}
}
