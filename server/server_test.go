package main_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hanzoai/kms/internal/pki"
	"github.com/hanzoai/kms/sdk"
	"github.com/hanzoai/kms/server/kmstest"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// get is the status and the body of an answer.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

func TestADatabaseThatIsAwayShowsInReadinessAndNotInLiveness(t *testing.T) {
	t.Parallel()
	kms := kmstest.New(t, kmstest.Options{Engine: kmstest.Postgres})
	expect := func(when string, status, ready int) {
		t.Helper()
		for url, want := range map[string]int{kms.URL + "/api/status": status, kms.AdminURL + "/readyz": ready, kms.AdminURL + "/healthz": 200} {
			if got, body := get(t, url); got != want {
				t.Errorf("%s: %s answers %d %q, want %d", when, url, got, body, want)
			}
		}
	}
	expect("at first", 200, 200)
	allow := database(t, kms)
	allow(false)
	expect("with the database away", 503, 503)
	allow(true)
	expect("with the database back", 200, 200)
}

// database gives a function that lets the server's database be reached or not.
func database(t *testing.T, kms *kmstest.Server) (allow func(bool)) {
	t.Helper()
	config, err := pgx.ParseConfig(kms.Config.DatabaseURI.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	name := config.Database
	config.Database = "postgres"
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(t.Context()) })
	return func(allowed bool) {
		t.Helper()
		sql := "ALTER DATABASE " + name + " ALLOW_CONNECTIONS "
		if allowed {
			sql += "true"
		} else {
			sql += "false"
		}
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
		if allowed {
			return
		}
		if _, err := conn.Exec(t.Context(), "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = $1", name); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMetricsAreWhatPrometheusReadsAndNameNothingOfACustomer(t *testing.T) {
	t.Parallel()
	kms := kmstest.New(t, kmstest.Options{})
	project := kms.Project("projectcanary")
	value := kms.Value()
	kms.Put(project, "prod", "/", "KEY_CANARY", value)
	scope := sdk.Scope{ProjectID: project.ID, Environment: "prod", SecretPath: "/"}
	if _, err := kms.Admin().Get(t.Context(), scope, "KEY_CANARY", sdk.GetOptions{}); err != nil {
		t.Fatal(err)
	}
	get(t, kms.URL+"/api/v3/secrets/raw/KEY_CANARY?workspaceSlug=projectcanary&environment=prod")
	get(t, kms.URL+"/made/up/canary")

	status, text := get(t, kms.AdminURL+"/metrics")
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil || status != http.StatusOK {
		t.Fatalf("metrics: %d, %v", status, err)
	}
	for _, name := range []string{"kms_http_requests_total", "kms_http_request_duration_seconds", "kms_audit_rows_total", "kms_audit_unsealed_age_seconds",
		"kms_unchanged_reads_total", "kms_info", "go_goroutines", "process_resident_memory_bytes"} {
		if families[name] == nil {
			t.Errorf("the metric %s is not there", name)
		}
	}
	labels := []string{"route", "method", "code", "engine", "version", "quantile", "le"}
	for name, family := range families {
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				if !slices.Contains(labels, label.GetName()) {
					t.Errorf("%s has a label %s", name, label.GetName())
				}
			}
		}
	}
	for _, secret := range []string{"canary", "CANARY", value, project.ID, kms.OrgID} {
		if strings.Contains(text, secret) {
			t.Errorf("the metrics hold %s", secret)
		}
	}
}

func TestTheAdminListenerAloneServesWhatOperatorsSee(t *testing.T) {
	t.Parallel()
	plain := kmstest.New(t, kmstest.Options{Empty: true})
	profiled := kmstest.New(t, kmstest.Options{Empty: true, Configure: func(c *kmstest.Config) { c.PProf = true }})
	none := kmstest.New(t, kmstest.Options{Empty: true, Configure: func(c *kmstest.Config) { c.AdminListen = "" }})
	for url, want := range map[string]int{
		plain.AdminURL + "/metrics":          200,
		plain.AdminURL + "/debug/pprof/":     404,
		plain.AdminURL + "/debug/pprof/heap": 404,
		plain.AdminURL + "/api/status":       404,
		plain.URL + "/api/status":            200,
		plain.URL + "/metrics":               404,
		plain.URL + "/debug/pprof/":          404,
		profiled.AdminURL + "/debug/pprof/":  200,
		profiled.URL + "/debug/pprof/":       404,
		none.URL + "/api/status":             200,
		none.URL + "/metrics":                404,
	} {
		if got, _ := get(t, url); got != want {
			t.Errorf("%s answers %d, want %d", url, got, want)
		}
	}
	if none.AdminURL != "" {
		t.Errorf("with an empty -admin-listen something listens on %s", none.AdminURL)
	}
}

func TestTheAPIOverTLSRefusesWhatIsOlderThan13AndTakesUpRenewedFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	first := writeCertificate(t, certFile, keyFile)
	kms := kmstest.New(t, kmstest.Options{Empty: true, Configure: func(c *kmstest.Config) { c.TLSCert, c.TLSKey = certFile, keyFile }})
	address := strings.TrimPrefix(kms.URL, "https://")

	client := sdk.NewClient(sdk.Config{SiteURL: kms.URL, CACertFile: certFile, MaxRetries: -1})
	if _, err := client.Status(t.Context()); err != nil {
		t.Errorf("over TLS: %v", err)
	}
	if _, err := sdk.NewClient(sdk.Config{SiteURL: kms.URL, MaxRetries: -1}).Status(t.Context()); err == nil {
		t.Error("a client trusts a certificate that nobody vouched for")
	}
	if conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}); err == nil {
		conn.Close()
		t.Error("TLS 1.2 is accepted")
	}
	if answer, err := http.Get("http://" + address + "/api/status"); err == nil && answer.StatusCode < 400 {
		t.Errorf("plain HTTP is answered %s on the TLS port", answer.Status)
	}
	served := func() *x509.Certificate {
		conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if version := conn.ConnectionState().Version; version != tls.VersionTLS13 {
			t.Errorf("the connection has %s, want TLS 1.3", tls.VersionName(version))
		}
		return conn.ConnectionState().PeerCertificates[0]
	}
	if !served().Equal(first) {
		t.Error("the server shows another certificate than its file's")
	}
	renewed := writeCertificate(t, certFile, keyFile)
	for end := time.Now().Add(time.Minute); !served().Equal(renewed); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the renewed certificate is not taken up")
		}
	}
	if _, err := client.Status(t.Context()); err != nil {
		t.Errorf("after the renewal: %v", err)
	}
}

// writeCertificate puts a new pair in the place of the files, as a mounted
// Secret would.
func writeCertificate(t *testing.T, certFile, keyFile string) *x509.Certificate {
	t.Helper()
	pair, err := pki.SelfSigned(0, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := pair.TLS()
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{certFile: pair.Certificate, keyFile: pair.Key} {
		if err := os.WriteFile(name+".new", content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(name+".new", name); err != nil {
			t.Fatal(err)
		}
	}
	return cert.Leaf
}
