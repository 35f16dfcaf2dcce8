package config_test

import (
	"fmt"
	"strings"
	"testing"
)

func TestSourcesAreFoldersWhoseNamesDoNotMeet(t *testing.T) {
	const folder = `"project": "app", "environment": "prod"`
	sources := func(list ...string) string {
		return fmt.Sprintf(`{"version": 1, "sources": [{%s}]}`, strings.Join(list, "}, {"))
	}
	checkProblems(t, []problem{
		{"no project", sources(`"environment": "prod"`), []string{"sources[0].project: is missing"}},
		{"no environment", sources(`"project": "app"`), []string{"sources[0].environment: is missing"}},
		{"a walk", sources(folder + `, "path": "/a/../b"`), []string{"sources[0].path: must be a folder such as /a/b"}},
		{"two slashes", sources(folder + `, "path": "//"`), []string{"sources[0].path: must be a folder such as /a/b"}},
		{"a key with a folder", sources(folder + `, "keys": ["A", "canary/B"]`), []string{"sources[0].keys[1]: must be a key"}},
		{"an empty key, and walks", sources(folder + `, "keys": ["", ".", ".."]`), []string{"sources[0].keys[0]: must be a key", "sources[0].keys[1]: must", "sources[0].keys[2]: must"}},
		{"keys that look like others", sources(folder + `, "keys": ["É", "A B"]`), []string{"sources[0].keys[0]: must be a key", "sources[0].keys[1]: must be a key"}},
		{"a key that is too long", sources(folder + `, "keys": ["` + strings.Repeat("K", 256) + `"]`), []string{"sources[0].keys[0]: must be a key"}},
		{"a key twice", sources(folder + `, "keys": ["A", "B", "A"]`), []string{"sources[0].keys[2]: is the same as sources[0].keys[0]"}},
		{"keys of all folders", sources(folder + `, "keys": ["A"], "recursive": true`), []string{"sources[0].recursive: cannot go with keys"}},
		{"a new name for a key that is not read", sources(folder + `, "keys": ["A"], "rename": {"B": "C"}`), []string{"sources[0].rename.B: is not one of the keys"}},
		{"a new name for no key", sources(folder + `, "rename": {"A B": "C"}`), []string{`sources[0].rename."A B": the name before must be a key`}},
		{"a new name that is none", sources(folder + `, "keys": ["A"], "rename": {"A": "canary/C"}`), []string{"sources[0].rename.A: the name in the set must be like a key"}},
		{"a prefix with a folder", sources(folder + `, "keys": ["A", "B"], "prefix": "canary/"`), []string{"sources[0].prefix: must be the beginning of a key"}},
		{"a prefix and a new name that are none", sources(folder + `, "rename": {"A": "canary/C"}, "prefix": "canary/"`), []string{"sources[0].rename.A: the name in the set must", "sources[0].prefix: "}},
		{"a prefix that leaves no room", sources(folder + `, "prefix": "` + strings.Repeat("P", 255) + `"`), []string{"sources[0].prefix: must be the beginning"}},
		{"a prefix that leaves little room", sources(folder + `, "keys": ["A", "AB"], "prefix": "` + strings.Repeat("P", 254) + `"`), []string{"sources[0].keys[1]: the name in the set"}},

		{"a folder twice", sources(folder, `"project": "x", "environment": "prod"`, folder+`, "path": "/"`), []string{"sources[2]: reads what sources[0] reads too"}},
		{"a folder and a key of it", sources(folder+`, "path": "/a/"`, folder+`, "path": "/a", "keys": ["A"], "prefix": "X_"`), []string{"sources[1]: reads what sources[0] reads too"}},
		{"a key of a folder twice", sources(folder+`, "keys": ["A", "B"]`, folder+`, "keys": ["C", "B"]`), []string{"sources[1]: reads what sources[0] reads too"}},
		{"other keys of a folder", sources(folder+`, "keys": ["A"]`, folder+`, "keys": ["B"]`), nil},
		{"the same folder of another environment", sources(folder, `"project": "app", "environment": "dev"`), nil},

		{"a key of two folders", sources(folder+`, "keys": ["A"]`, folder+`, "path": "/b", "keys": ["B", "A"]`), []string{"sources[1].keys[1]: has the same name in the set as sources[0].keys[0]"}},
		{"a key of two folders with a prefix", sources(folder+`, "keys": ["A"]`, folder+`, "path": "/b", "keys": ["A"], "prefix": "B_"`), nil},
		{"a prefix that makes another key", sources(folder+`, "keys": ["B_A"]`, folder+`, "path": "/b", "keys": ["A"], "prefix": "B_"`), []string{"sources[1].keys[0]: has the same name"}},
		{"one new name for two keys", sources(folder + `, "rename": {"A": "X", "B": "X"}`), []string{"sources[0].rename.B: has the same name in the set as sources[0].rename.A"}},
		{"a new name that a key has", sources(folder + `, "keys": ["A", "B"], "rename": {"A": "B"}`), []string{"sources[0].rename.A: has the same name in the set as sources[0].keys[1]"}},
		{"two names exchanged", sources(folder + `, "keys": ["A", "B"], "rename": {"A": "B", "B": "A"}`), nil},
	})
}

func TestOutputsAreFilesThatDoNotMeet(t *testing.T) {
	outputs := func(list ...string) string {
		return with(fmt.Sprintf(`"previous": true, "outputs": [{%s}]`, strings.Join(list, "}, {")))
	}
	const template = `"format": "template", "file": "x"`
	checkProblems(t, []problem{
		{"no file", outputs(`"format": "json"`), []string{"outputs[0].file: is missing"}},
		{"a file elsewhere", outputs(`"format": "json", "file": "../canary"`), []string{"outputs[0].file: must be the name of a file in the directory"}},
		{"a file of the layout", outputs(`"format": "json", "file": "..data"`), []string{"outputs[0].file: must be the name of a file in the directory"}},
		{"the generation before", outputs(`"format": "json", "file": "previous"`), []string{"outputs[0].file: is the folder of the generation before"}},
		{"the generation before, as a key", outputs(`"keys": ["previous"]`), []string{"outputs[0].keys[0]: is the folder of the generation before"}},
		{"a file that may be called so", with(`"outputs": [{"format": "json", "file": "previous"}]`), nil},
		{"a key that is no file", outputs(`"keys": ["..A"]`), []string{"outputs[0].keys[0]: must be the name of a file in the directory"}},
		{"a key that is no file, in JSON", outputs(`"format": "json", "file": "x", "keys": ["..A"]`), nil},
		{"a file for files", outputs(`"file": "x"`), []string{"outputs[0].file: cannot go with the format"}},
		{"a key that is none", outputs(`"keys": ["A", "A:B"]`), []string{"outputs[0].keys[1]: must be a key"}},
		{"a mode for all to write", outputs(`"mode": "0622"`), []string{"outputs[0].mode: must be octal"}},
		{"a negative group", outputs(`"gid": -1`), []string{"outputs[0].gid: must not be negative"}},
		{"a format that there is not", outputs(`"format": "toml", "file": "x", "template": "canary"`), []string{"outputs[0].format: must be one of"}},

		{"a file twice", outputs(`"format": "json", "file": "x"`, `"format": "yaml", "file": "x"`), []string{"outputs[1].file: is the same file as outputs[0].file"}},
		{"a file for a key", outputs(`"keys": ["A", "x"]`, `"format": "yaml", "file": "x"`), []string{"outputs[1].file: is the same file as outputs[0].keys[1]"}},
		{"a key in two places", outputs(`"keys": ["A"]`, `"keys": ["B", "A"]`), []string{"outputs[1].keys[1]: is the same file as outputs[0].keys[0]"}},
		{"all keys and one again", outputs(`"format": "json", "file": "x"`, ``, `"keys": ["A"]`), []string{"outputs[2]: writes files that outputs[1] writes too"}},
		{"one key and all again", outputs(`"keys": ["A"]`, ``), []string{"outputs[1]: writes files that outputs[0] writes too"}},
		{"keys in two modes", outputs(`"keys": ["A"]`, `"keys": ["B"], "mode": "0440"`), nil},

		{"base64 of a dotenv", outputs(`"format": "dotenv", "file": "x", "base64": ["A"]`), []string{`outputs[0].base64: goes with the format "files" only`}},
		{"base64 of another key", outputs(`"keys": ["A"], "base64": ["A", "B"]`), []string{"outputs[0].base64[1]: is not one of the keys of this output"}},
		{"base64 of some key", outputs(`"base64": ["A"]`), nil},

		{"no template", outputs(template), []string{"outputs[0].template: is missing: give it, or templateFile"}},
		{"two templates", outputs(template + `, "template": "canary", "templateFile": "/x"`), []string{"outputs[0].templateFile: cannot go with template"}},
		{"a template in a relative file", outputs(template + `, "templateFile": "canary"`), []string{"outputs[0].templateFile: must be an absolute path"}},
		{"one mark", outputs(template + `, "template": "x", "delimiters": ["[["]`), []string{"outputs[0].delimiters: must be two different marks"}},
		{"an empty mark", outputs(template + `, "template": "x", "delimiters": ["[[", ""]`), []string{"outputs[0].delimiters: must be two different marks"}},
		{"an empty first mark", outputs(template + `, "template": "x", "delimiters": ["", "]]"]`), []string{"outputs[0].delimiters: must be two different marks"}},
		{"the same mark", outputs(template + `, "template": "x", "delimiters": ["%", "%"]`), []string{"outputs[0].delimiters: must be two different marks"}},
		{"a template in a file for JSON", outputs(`"format": "json", "file": "x", "templateFile": "/x"`), []string{`outputs[0].templateFile: goes with the format "template" only`}},
		{"templates for JSON", outputs(`"format": "json", "file": "x", "template": "canary", "templateFile": "/x", "delimiters": ["<", ">"]`), []string{
			"outputs[0].templateFile: cannot go with template", `outputs[0].template: goes with the format "template" only`, `outputs[0].delimiters: goes with the format "template" only`}},
	})
}

func TestATargetIsOneThatCanBeTold(t *testing.T) {
	notify := func(list ...string) string { return with(fmt.Sprintf(`"notify": [{%s}]`, strings.Join(list, "}, {"))) }
	var tests []problem
	for _, url := range []string{"https://kms.example.com/reload", "http://127.0.0.1.nip.io/", "http://10.0.0.1/", "http://[::2]/", "http://[fe80::1%25lo]/", "http://0.0.0.0/",
		"ftp://localhost/", "localhost:80/x", "http://me:canary@localhost/", "http://localhost:0/", "http://%zz/", "http://2130706433/"} {
		tests = append(tests, problem{url, notify(`"url": "` + url + `"`), []string{"notify[0].url: must be an http or https address of this host"}})
	}
	for _, url := range []string{"http://localhost:8080/x?y=z", "https://127.1.2.3", "http://[::1]:80/"} {
		tests = append(tests, problem{url, notify(`"url": "` + url + `"`), nil})
	}
	checkProblems(t, append(tests, []problem{
		{"nobody", notify(``), []string{"notify[0]: must be exactly one of pidFile, process, wrapper, command and url"}},
		{"nobody, in words", notify(`"wrapper": false, "timeout": "5s"`), []string{"notify[0]: must be exactly one of"}},
		{"two", notify(`"pidFile": "/p", "wrapper": true`), []string{"notify[0]: must be exactly one of"}},
		{"a relative file", notify(`"pidFile": "canary"`), []string{"notify[0].pidFile: must be an absolute path"}},
		{"a program with its folder", notify(`"process": "/bin/canary"`), []string{"notify[0].process: must be the name of a program without its folder"}},
		{"a command without a program", notify(`"command": ["", "canary"]`), []string{"notify[0].command[0]: must be a program"}},
		{"a command below some folder", notify(`"command": ["./canary"]`), []string{"notify[0].command[0]: must be a program"}},
		{"an empty command", notify(`"command": []`), []string{"notify[0].command: is empty", "notify[0]: must be exactly one of"}},
		{"a signal for a wrapper", notify(`"wrapper": true, "signal": "SIGHUP"`), []string{"notify[0].signal: goes with pidFile and process only"}},
		{"a timeout that is too short", notify(`"wrapper": true, "timeout": "1ms"`), []string{"notify[0].timeout: must be a duration such as 30s or 5m, from 1s to 10m"}},
		{"a timeout that is too long", notify(`"wrapper": true, "timeout": "11m"`), []string{"notify[0].timeout: must be a duration"}},
		{"the same twice", notify(`"process": "app"`, `"wrapper": true`, `"process": "app", "signal": "SIGHUP"`), []string{"notify[2]: is the same as notify[0]"}},
		{"two signals for one", notify(`"process": "app"`, `"process": "app", "signal": "SIGUSR1"`), nil},
	}...))
}
