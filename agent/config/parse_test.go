package config_test

import (
	"fmt"
	"strings"
	"testing"
)

func TestEachSlipOfFormSaysWhereItIsAndWhatWouldBeRight(t *testing.T) {
	without := func(old, new string) string { return strings.Replace(least, old, new, 1) }
	checkProblems(t, []problem{
		{"nothing", ``, []string{"it is not JSON: see line 1, column 1"}},
		{"not JSON", "{\n\"version\": 1,,}", []string{"it is not JSON: see line 2, column 14"}},
		{"two values", least + "\n" + least, []string{"it is not JSON: see line 2, column 1"}},
		{"too much", strings.Repeat(" ", 1<<20) + least, []string{"it has more than 1048576 bytes"}},
		{"a list", `[]`, []string{"the whole: must be an object, not a list"}},
		{"null", `null`, []string{"the whole: must be an object, not null"}},
		{"an empty object", `{}`, []string{"version: is missing: give 1", "sources: is missing: give at least one"}},
		{"a newer version", without(`"version": 1`, `"version": 2`), []string{"version: is one that this agent does not know: give 1, or a newer agent"}},
		{"a misspelt field", with(`"dirctory": "/x"`), []string{`dirctory: there is no such field: did you mean "directory"?`}},
		{"a field in capitals", with(`"Server": "https://kms"`), []string{`Server: there is no such field: did you mean "server"?`}},
		{"a field of another tool", with(`"templates": []`), []string{`templates: there is no such field: there are version, server`}},
		{"a part of a name", with(`"interval": "5s"`), []string{`interval: there is no such field: did you mean "pollInterval"?`}},
		{"a field without a name", with(`"": 1`), []string{`"": there is no such field`}},
		{"a text for a name", with(`"a b\nc": 1`), []string{`"a b\nc": there is no such field`}},
		{"a secret where a path belongs", with(`"credentials": {"clientIdFile": "/id", "clientSecret": "canary"}`), []string{
			`credentials.clientSecret: there is no such field: did you mean "clientSecretFile"?`, "credentials.clientSecretFile: is missing: give both"}},
		{"a misspelt field of a source", without(`"environment"`, `"enviroment"`), []string{
			`sources[0].enviroment: there is no such field: did you mean "environment"?`, "sources[0].environment: is missing"}},
		{"a field given twice", with(`"mode": "0400", "mode": "0440"`), []string{"mode: is given twice"}},
		{"a number for a string", with(`"mode": 400`), []string{"mode: must be a string, not a number"}},
		{"a string for a number", without(`"version": 1`, `"version": "1"`), []string{"version: must be a whole number, not a string"}},
		{"a fraction", with(`"gid": 1.5`), []string{"gid: must be a whole number"}},
		{"a number beyond all", with(`"gid": 99999999999`), []string{"gid: must be a whole number"}},
		{"a string for a switch", with(`"previous": "yes"`), []string{"previous: must be true or false, not a string"}},
		{"an object for a list", without(`[{"project": "app", "environment": "prod"}]`, `{"project": {"deep": [1]}}`), []string{"sources: must be a list, not an object"}},
		{"a string for a source", without(`{"project": "app", "environment": "prod"}`, `"app"`), []string{"sources[0]: must be an object, not a string"}},
		{"null for a list", without(`[{"project": "app", "environment": "prod"}]`, `null`), []string{"sources: must be a list, not null"}},
		{"no sources", without(`{"project": "app", "environment": "prod"}`, ``), []string{"sources: is empty"}},
		{"no keys, where all was meant or none", without(`"prod"`, `"prod", "keys": []`), []string{"sources[0].keys: is empty: put something in, or leave it out"}},
		{"no new names", without(`"prod"`, `"prod", "rename": {}`), []string{"sources[0].rename: is empty"}},
		{"a list of new names", without(`"prod"`, `"prod", "rename": ["A"]`), []string{"sources[0].rename: must be an object, not a list"}},
		{"a number for a new name", without(`"prod"`, `"prod", "rename": {"A": 1}`), []string{"sources[0].rename.A: must be a string, not a number"}},
		{"two new names", without(`"prod"`, `"prod", "rename": {"A": "B", "A": "C"}`), []string{"sources[0].rename.A: is given twice"}},
		{"all at once", with(`"dirctory": "/x", "mode": 400, "pollInterval": "0s"`), []string{"dirctory: ", "mode: must be a string", "pollInterval: "}},
	})
}

func TestAReportGoesToAnHTTPSAddressWithAToken(t *testing.T) {
	report := func(fields string) string { return with(`"report": {` + fields + `}`) }
	const form = "report.url: must be of the form https://host[:port]/path"
	checkProblems(t, []problem{
		{"all that is needed", report(`"url": "https://reports.kms.svc:8444/report", "tokenFile": "/t"`), nil},
		{"nothing", report(``), nil},
		{"no address", report(`"tokenFile": "/t"`), []string{form}},
		{"no token", report(`"url": "https://reports"`), []string{"report.tokenFile: is missing"}},
		{"plain HTTP", report(`"url": "http://reports", "tokenFile": "/t"`), []string{form}},
		{"no host", report(`"url": "https:///report", "tokenFile": "/t"`), []string{form}},
		{"a password", report(`"url": "https://me:canary@reports", "tokenFile": "/t"`), []string{form}},
		{"a query", report(`"url": "https://reports/?canary", "tokenFile": "/t"`), []string{form}},
		{"a file for the text of the authority", report(`"url": "https://r", "tokenFile": "/t", "ca": "/canary.crt"`), []string{"report.ca: must be certificates as PEM"}},
		{"a token that depends on the folder", report(`"url": "https://r", "tokenFile": "canary"`), []string{"report.tokenFile: must be an absolute path"}},
		{"a delay that is too long", report(`"url": "https://r", "tokenFile": "/t", "splay": "1h"`), []string{"report.splay: must be a duration such as 30s or 5m, from 0s to 10m"}},
		{"a delay of nothing", report(`"splay": "1s"`), []string{form, "report.tokenFile: is missing", "report.splay: goes with url only"}},
		{"a misspelt field", report(`"url": "https://r", "tokenfile": "/t"`), []string{`report.tokenfile: there is no such field: did you mean "tokenFile"?`, "report.tokenFile: is missing"}},
		{"that of a wrapper", `{"version": 1, "exec": {"file": "env.json"}, "report": {"url": "https://r", "tokenFile": "/t"}}`, []string{"report: cannot go with exec.file"}},
	})
}

func TestAFallbackIsADirectoryAndTheTimeUntilThen(t *testing.T) {
	fallback := func(fields string) string { return with(`"fallback": {` + fields + `}`) }
	checkProblems(t, []problem{
		{"a directory", fallback(`"directory": "/kms/fallback"`), nil},
		{"both", fallback(`"directory": "/kms/fallback", "after": "1h"`), nil},
		{"a directory below the one we were started in", fallback(`"directory": "canary"`), []string{"fallback.directory: must be an absolute path"}},
		{"a time alone", fallback(`"after": "10s"`), []string{"fallback.directory: is missing"}},
		{"at once", fallback(`"directory": "/f", "after": "0s"`), []string{"fallback.after: must be a duration such as 30s or 5m, from 1s to 1h"}},
		{"the Secret itself", fallback(`"secret": "canary"`), []string{"fallback.secret: there is no such field"}},
		{"that of a wrapper", `{"version": 1, "exec": {"file": "env.json"}, "fallback": {"directory": "/f"}}`, []string{"fallback: cannot go with exec.file"}},
	})
}

func TestAChoiceIsOneOfThoseThatThereAre(t *testing.T) {
	for field, want := range map[string]string{
		`"writeMode": "symlinks"`:                         `writeMode: must be one of symlink, rename: did you mean "symlink"?`,
		`"writeMode": "canary"`:                           `writeMode: must be one of symlink, rename`,
		`"onRevoked": "Keep"`:                             `onRevoked: must be one of keep, delete, exit: did you mean "keep"?`,
		`"outputs": [{"format": "env", "file": "x"}]`:     `outputs[0].format: must be one of files, dotenv, json, yaml, properties, shell, template: did you mean "dotenv"?`,
		`"outputs": [{"onMissing": "canary"}]`:            `outputs[0].onMissing: must be one of error, empty, keep`,
		`"exec": {"onChange": "reload"}`:                  `exec.onChange: must be one of restart, signal, none`,
		`"exec": {"signal": "HUP"}`:                       `exec.signal: must be one of SIGHUP, SIGUSR1, SIGUSR2, SIGINT, SIGQUIT, SIGTERM, SIGWINCH: did you mean "SIGHUP"?`,
		`"exec": {"stopSignal": "SIGKILL"}`:               `exec.stopSignal: must be one of SIGHUP, `,
		`"notify": [{"pidFile": "/p", "signal": "TERM"}]`: `notify[0].signal: must be one of SIGHUP, SIGUSR1, SIGUSR2, SIGINT, SIGQUIT, SIGTERM, SIGWINCH: did you mean "SIGTERM"?`,
	} {
		checkProblems(t, []problem{{field, with(field), []string{want}}})
	}
}

func TestEachValueSaysWhereItIsAndWhatWouldBeRight(t *testing.T) {
	var tests []problem
	for _, test := range []struct{ want, fields string }{
		{"server: must be of the form https://host", `"server": "kms:8080"`},
		{"server: must be of the form https://host", `"server": "https://a:canary@kms"`},
		{"server: must be of the form https://host", `"server": "https://kms:99999"`},
		{"server: must be of the form https://host", `"server": "https://kms?canary"`},
		{"server: must be of the form https://host", `"server": "https://kms#canary"`},
		{"caFile: must be an absolute path", `"caFile": "ca.pem"`},
		{"proxy: must be of the form http://host:port", `"proxy": "proxy:3128"`},
		{"proxy: must be of the form http://host:port", `"proxy": "http://me:canary@proxy:3128"`},
		{"proxy: must be of the form http://host:port", `"proxy": "http://proxy:3128/path"`},
		{"proxy: must be of the form http://host:port", `"proxy": "http://proxy:3128?canary"`},
		{"proxy: must be of the form http://host:port", `"proxy": "http://proxy:3128/#canary"`},
		{"credentials.clientIdFile: is missing: give both files, or neither", `"credentials": {"clientSecretFile": "/s"}`},
		{"credentials.clientSecretFile: is missing: give both files, or neither", `"credentials": {"clientIdFile": "/i"}`},
		{"credentials.clientSecretFile: must be an absolute path", `"credentials": {"clientIdFile": "/i", "clientSecretFile": "canary"}`},
		{"", `"credentials": {"revokeOnExit": true}`},
		{"directory: must be an absolute path below /", `"directory": "secrets"`},
		{"directory: must be an absolute path below /", `"directory": "/x/.."`},
		{"mode: must be octal", `"mode": "0999"`},
		{"mode: must be octal", `"mode": "0666"`},
		{"mode: must be octal", `"mode": "0500"`},
		{"mode: must be octal", `"mode": "0000"`},
		{"gid: must not be negative", `"gid": -1`},
		{"maxSize: must be a size such as 4MiB", `"maxSize": "63KiB"`},
		{"maxSize: must be a size such as 4MiB", `"maxSize": "257MiB"`},
		{"maxSize: must be a size such as 4MiB", `"maxSize": "4MB"`},
		{"", `"maxSize": "256MiB"`},
		{"pollInterval: must be a duration such as 30s or 5m, from 1s to 24h", `"pollInterval": "999ms"`},
		{"pollInterval: must be a duration", `"pollInterval": "24h1s"`},
		{"pollInterval: must be a duration", `"pollInterval": "60"`},
		{"debounce: must be a duration such as 30s or 5m, from 0s to 1m", `"debounce": "-1s"`},
		{"debounce: must be a duration", `"debounce": "61s"`},
		{"splay: must be a duration such as 30s or 5m, from 0s to 24h", `"splay": "25h"`},
		{"listen: must be of the form host:port or :port", `"listen": "9092"`},
		{"listen: must be of the form host:port or :port", `"listen": ":0"`},
		{"listen: must be of the form host:port or :port", `"listen": ":65536"`},
		{"listen: must be of the form host:port or :port", `"listen": ":http"`},
		{"terminationLog: must be an absolute path", `"terminationLog": "log"`},
		{"exec.grace: must be a duration such as 30s or 5m, from 0s to 1h", `"exec": {"grace": "61m"}`},
		{"exec.keys[1]: must be a key", `"exec": {"keys": ["A", "A/B"]}`},
	} {
		row := problem{name: test.fields, config: with(test.fields)}
		if test.want != "" {
			row.want = []string{test.want}
		}
		tests = append(tests, row)
	}
	checkProblems(t, tests)
}

func TestAFollowerOfAnotherAgentDoesNothingOfItsOwn(t *testing.T) {
	follower := func(fields string) string {
		return fmt.Sprintf(`{"version": 1, "exec": {"file": "env.json"}%s}`, fields)
	}
	checkProblems(t, []problem{
		{"alone", follower(``), nil},
		{"with all that the other has", follower(`, "sources": [{"project": ""}], "outputs": [{}], "notify": [{"wrapper": true}], "credentials": {"revokeOnExit": true}, "listen": ":9092"`),
			[]string{"credentials: cannot go with exec.file", "sources: cannot go with exec.file", "outputs: cannot go", "notify: cannot go", "listen: cannot go"}},
		{"a file elsewhere", `{"version": 1, "exec": {"file": "/kms/secrets/env.json"}}`, []string{"exec.file: must be the name of a file in the directory"}},
	})
}
