//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"
)

// apiServer is called without kubectl where a process for each call would be
// slower than what is measured.
type apiServer struct {
	url    string
	client http.Client
}

// apiServer connects as kubectl does, by the client certificate of the
// kubeconfig.
func (ns namespace) apiServer(t *testing.T) *apiServer {
	t.Helper()
	var config struct {
		Clusters []struct {
			Cluster struct {
				Server string `json:"server"`
				CA     []byte `json:"certificate-authority-data"`
			} `json:"cluster"`
		} `json:"clusters"`
		Users []struct {
			User struct {
				Certificate []byte `json:"client-certificate-data"`
				Key         []byte `json:"client-key-data"`
			} `json:"user"`
		} `json:"users"`
	}
	text := ns.kubectl(t, "", "config", "view", "--raw", "--flatten", "--minify", "--output=json")
	if err := json.Unmarshal([]byte(text), &config); err != nil || len(config.Clusters) != 1 || len(config.Users) != 1 {
		t.Fatalf("read the kubeconfig: %v", err)
	}
	pair, err := tls.X509KeyPair(config.Users[0].User.Certificate, config.Users[0].User.Key)
	if err != nil {
		t.Fatalf("read the client certificate of the kubeconfig: %v", err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(config.Clusters[0].Cluster.CA)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &apiServer{config.Clusters[0].Cluster.Server, http.Client{Transport: transport, Timeout: time.Minute}}
}

// call gives the answer, which is an error if it is not of the kind 2xx.
func (a *apiServer) call(ctx context.Context, method, path string, input any) ([]byte, error) {
	body, err := json.Marshal(input)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, method, a.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := a.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode/100 != 2 {
		err = fmt.Errorf("%s %s: %s: %s", method, path, response.Status, answer)
	}
	return answer, err
}

// create is a POST of an object; the query may be "?dryRun=All".
func (a *apiServer) create(ctx context.Context, ns namespace, pod object, query string) (created object, err error) {
	answer, err := a.call(ctx, http.MethodPost, ns.pods()+query, pod)
	if err == nil {
		err = json.Unmarshal(answer, &created)
	}
	return created, err
}

// remove deletes a pod that is on no node, at once.
func (a *apiServer) remove(ctx context.Context, ns namespace, pod object) error {
	_, err := a.call(ctx, http.MethodDelete, ns.pods()+"/"+name(pod), object{"gracePeriodSeconds": 0})
	return err
}

func (ns namespace) pods() string { return "/api/v1/namespaces/" + ns.name + "/pods" }
