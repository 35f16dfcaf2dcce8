//go:build e2e

package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"strconv"
	"testing"
)

// example is what a file of the examples promises.
type example struct {
	file       string
	workload   string
	auth       string   // the Secret with the credentials
	beside     string   // a manifest of what else it names
	trigger    []string // what starts it, for kubectl
	containers []string // that have the secrets

	// prints are the contents whose fingerprints the application prints when
	// it starts; it is nil where the file shows an application that is silent.
	prints func(shop) []string
	// shows is a command that prints the fingerprints of what reads gives.
	shows string
	reads func(shop) []string

	lies, mode string // a file, and its permission

	started func(*testing.T, *running)       // what else holds then
	changed func(*testing.T, *running, shop) // what holds after a change, given what was before; nil for what has ended
}

// usual is the part that most files have in common.
func usual(file string) example {
	return example{
		file: file, workload: "deployment/web", auth: "web-kms-auth", containers: []string{"web"},
		prints: databaseURL, shows: "sha256sum /kms/secrets/DB_URL", reads: databaseURL,
		lies: "/kms/secrets/DB_URL", mode: "400", changed: isReplaced,
	}
}

// but is a file that differs from the usual in some way.
func but(file string, differ func(*example)) example {
	e := usual(file)
	differ(&e)
	return e
}

var examples = []example{
	but("cronjob.yaml", func(e *example) {
		e.workload, e.auth, e.containers = "job/first", "report-kms-auth", []string{"report"}
		e.trigger, e.changed = []string{"create", "job", "first", "--from=cronjob/report"}, nextRunHasIt
	}),
	but("dotenv.yaml", func(e *example) {
		e.prints = nil
		e.shows = `. /app/config/.env; printf %s "$DB_URL" | sha256sum; printf %s "$API_KEY" | sha256sum`
		e.reads = keys("/backend", "DB_URL", "API_KEY")
		e.lies = "/app/config/.env"
		e.started = hasOnlyTwoKeys
	}),
	but("env-secret.yaml", func(e *example) {
		e.beside, e.prints = secretOf("first"), secretIs("first")
		e.shows, e.reads = ownVariable, secretIs("first")
		e.changed = keepsItsVariable
	}),
	but("exec-signal.yaml", func(e *example) { e.changed = isTold }),
	but("exec.yaml", func(e *example) { e.changed = isTold }),
	but("fallback.yaml", func(e *example) { e.beside = secretOf("of last resort") }),
	but("files-sighup.yaml", func(e *example) { e.changed = isTold }),
	but("folders.yaml", func(e *example) {
		e.reads = allOfSeveralFolders
		e.prints, e.lies = e.reads, "/kms/secrets/all.json"
		e.shows = "sha256sum /kms/secrets/SHOP_DB_PASSWORD /kms/secrets/all.json"
	}),
	but("http-reload.yaml", func(e *example) {
		e.prints, e.shows = nil, "wget -q -O - http://127.0.0.1:8080/cgi-bin/reload"
		e.changed = isAskedToReload
	}),
	but("job.yaml", func(e *example) {
		e.workload, e.auth, e.containers = "job/migrate", "migrate-kms-auth", []string{"migrate"}
		e.changed = nil // it has ended
	}),
	but("mesh.yaml", func(e *example) { e.started = goesThroughItsProxy }),
	but("profile.yaml", func(e *example) {
		e.started = func(t *testing.T, r *running) { hasNoSecrets(t, r, "helper") }
	}),
	but("readiness.yaml", func(e *example) { e.started = isReadyWithItsAgent }),
	usual("restricted-namespace.yaml"),
	but("rollout.yaml", func(e *example) { e.changed = isRolledOnce }),
	but("statefulset.yaml", func(e *example) {
		e.workload, e.auth, e.containers = "statefulset/db", "db-kms-auth", []string{"db", "exporter"}
		e.reads = keys("/databases/shop", "PASSWORD")
		e.prints, e.shows = e.reads, "sha256sum /kms/secrets/PASSWORD"
		e.lies, e.mode = "/kms/secrets/PASSWORD", "440"
		e.changed = offersTheOneBefore
	}),
	but("template.yaml", func(e *example) {
		e.reads = fromTemplates
		e.prints, e.lies = e.reads, "/kms/secrets/dsn"
		e.shows = "sha256sum /kms/secrets/dsn /kms/secrets/web.ini"
	}),
}

func keys(folder string, names ...string) func(shop) []string {
	return func(v shop) (contents []string) {
		for _, name := range names {
			contents = append(contents, v[folder][name])
		}
		return contents
	}
}

func databaseURL(v shop) []string { return keys("/backend", "DB_URL")(v) }

func allOfSeveralFolders(v shop) []string {
	all := map[string]string{"SHOP_DB_USER": v["/databases/shop"]["USER"], "SHOP_DB_PASSWORD": v["/databases/shop"]["PASSWORD"]}
	maps.Copy(all, v["/backend"])
	maps.Copy(all, v["/backend/worker"])
	return []string{all["SHOP_DB_PASSWORD"], asJSON(all)}
}

func asJSON(value any) string {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(value); err != nil {
		panic(err) // it is a map of texts
	}
	return text.String()
}

func fromTemplates(v shop) []string {
	user, password := v["/backend"]["DB_USER"], v["/backend"]["DB_PASSWORD"]
	return []string{
		fmt.Sprintf("postgres://%s:%s@db:5432/shop", user, url.QueryEscape(password)),
		fmt.Sprintf("[database]\nuser = %s\npassword = %s\n", user, strconv.Quote(password)),
	}
}

// secretOf is a Secret as somebody else keeps it. Its content is no planted
// value, since etcd holds it.
func secretOf(content string) string {
	return fmt.Sprintf("{apiVersion: v1, kind: Secret, metadata: {name: web-secrets}, stringData: {DB_URL: %q}}", content)
}

func secretIs(content string) func(shop) []string {
	return func(shop) []string { return []string{content} }
}

// ownVariable is what the first process of the container has, whatever others
// would get by now.
const ownVariable = `tr '\0' '\n' </proc/1/environ | sed -n 's/^DB_URL=//p' | tr -d '\n' | sha256sum`
