package main_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"

	admissionregistration "k8s.io/api/admissionregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// trusting is a client that calls an address by a name.
func trusting(t testing.TB, authorities []byte, name string) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authorities) {
		t.Fatalf("no authorities: %s", authorities)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: name}}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func TestAPodThatIsToReportKnowsWhere(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	r := c.start(t, "-reports-listen=127.0.0.1:0", "-reports-certificate-dir="+c.folder(t))
	c.register(t, r.Webhooks)
	pod := c.pod(map[string]string{"report": "true"})
	must(t, c.Create(t.Context(), pod))
	var config struct {
		Report struct{ URL, CA string }
	}
	for _, variable := range pod.Spec.InitContainers[0].Env {
		if variable.Name == "KMS_AGENT_CONFIG" {
			must(t, json.Unmarshal([]byte(variable.Value), &config))
		}
	}
	_, port, _ := net.SplitHostPort(r.Reports)
	if want := "https://kms-injector-reports.kms.svc:" + port + "/report"; config.Report.URL != want || config.Report.CA != string(c.certificate.Certificate) {
		t.Fatalf("%+v", config)
	}
	answer, err := trusting(t, []byte(config.Report.CA), "kms-injector-reports.kms.svc").Post("https://"+r.Reports+"/report", "application/json", bytes.NewReader([]byte(`{"reason":"Synced","revision":1,"age":1,"change":false}`)))
	must(t, err)
	answer.Body.Close()
	if answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("a report without a token: %s", answer.Status)
	}
}

func TestNoPodReportsToAnInjectorThatTakesNoReports(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	c.register(t, c.start(t).Webhooks)
	if err := c.Create(t.Context(), c.pod(map[string]string{"report": "true"})); err == nil || !strings.Contains(err.Error(), "the injector takes no reports") {
		t.Error(err)
	}
}

// Nothing is given to it but the webhook configurations.
func TestAnInjectorMakesItsCertificatesAndIsReadyWhenTheyAreTrusted(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	r := c.begin(t, "-certificate-dir=", "-webhook-configuration="+c.namespace, "-certificate-secret="+c.namespace)
	if status, _, err := r.get("/readyz"); err != nil || status != http.StatusServiceUnavailable {
		t.Errorf("%d %v", status, err)
	}
	mutating, validating := c.configurations(t, r.Webhooks)
	for _, o := range []client.Object{mutating, validating} {
		must(t, c.Create(t.Context(), o))
		t.Cleanup(func() { c.remove(t, o) })
	}
	await(t, func() error { return r.probe("/readyz") })
	var live admissionregistration.MutatingWebhookConfiguration
	must(t, c.Get(t.Context(), client.ObjectKeyFromObject(mutating), &live))
	bundle := live.Webhooks[0].ClientConfig.CABundle
	answer, err := trusting(t, bundle, "kms-injector.kms.svc").Get("https://" + r.Webhooks + "/pods")
	must(t, err)
	answer.Body.Close()
	if answer.StatusCode != http.StatusMethodNotAllowed {
		t.Error(errors.New(answer.Status))
	}
}
