//go:build e2e

package e2e_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/sdk"
)

// The product as its chart installs it, once for all tests, with what tests
// need beside the defaults: a database that goes with the cluster, reports,
// quick polls, and servers of the tests' own.
const values = `
image: {repository: localhost/kms, tag: e2e}
server: {evaluation: {enabled: true, storage: {ephemeral: true}}}
injector:
  agent: {image: {repository: localhost/kms-agent, tag: e2e}}
  defaults: {poll-interval: 1s, log-level: debug}
  servers: ["http://*.svc"]
  reports: {enabled: true, rollouts: true}
`

// home is the namespace of the product.
const home = "kms"

// product is the installed one.
type product struct {
	namespace
	url          string      // of the server, from here
	admin        *sdk.Client // of the instance
	organization string      // its id
	shop         api.Project // that of the examples
}

var install = sync.OnceValues(func() (*product, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	config, err := findKubeconfig()
	if err != nil {
		return nil, err
	}
	p := &product{namespace: namespace{name: home, kubeconfig: config}}
	for _, step := range []func(context.Context) error{p.installChart, p.forward, p.setUp} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return p, nil
})

// installed gives the product, and installs it for the first who asks.
func installed(t *testing.T) *product {
	t.Helper()
	p, err := install()
	if err != nil {
		t.Fatalf("install the product: %v", err)
	}
	return p
}

func (p *product) installChart(ctx context.Context) error {
	cmd := p.command(ctx, "helm", "upgrade", "--install", "kms", "../charts/kms", "--create-namespace", "--wait", "--timeout=4m", "--values=-")
	cmd.Stdin = strings.NewReader(values)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("helm: %w\n%s%s", err, out, p.story())
	}
	return nil
}

var forwarding = regexp.MustCompile(`Forwarding from (127\.0\.0\.1:\d+)`)

// forward makes the server reachable, for as long as the tests run.
func (p *product) forward(context.Context) error {
	cmd := p.command(context.Background(), "kubectl", "port-forward", "service/kms", ":8080")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return err
	}
	atTheEnd(func() { cmd.Process.Kill(); cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	found := forwarding.FindStringSubmatch(line)
	if err != nil || found == nil {
		return fmt.Errorf("kubectl port-forward printed %q, %v", line, err)
	}
	p.url = "http://" + found[1]
	p.admin = sdk.NewClient(sdk.Config{SiteURL: p.url})
	return nil
}

// setUp makes the organisation and the project of the examples, or finds what
// an earlier run has made. The token of the admin lies beside the server.
func (p *product) setUp(ctx context.Context) error {
	made, err := p.admin.Bootstrap(ctx, sdk.BootstrapInput{Email: "e2e@example.com", Password: random(), Organization: "e2e"})
	switch {
	case err == nil:
		err = p.keepAdmin(ctx, made.Token.Reveal(), made.Organization.ID)
	case errors.Is(err, api.ErrInvalid):
		err = p.findAdmin(ctx)
	}
	if err != nil {
		return err
	}
	p.shop, err = p.admin.GetProject(ctx, "shop")
	if errors.Is(err, api.ErrNotFound) {
		p.shop, err = p.admin.CreateProject(ctx, sdk.ProjectInput{Name: "shop", Slug: "shop"})
	}
	return err
}

func (p *product) keepAdmin(ctx context.Context, token, organization string) error {
	out, err := p.command(ctx, "kubectl", "create", "secret", "generic", "e2e-admin", "--from-literal=token="+token, "--from-literal=organization="+organization).CombinedOutput()
	if err != nil {
		return fmt.Errorf("keep the admin's token: %w: %s", err, out)
	}
	return p.findAdmin(ctx)
}

func (p *product) findAdmin(ctx context.Context) error {
	out, err := p.command(ctx, "kubectl", "get", "secret", "e2e-admin", "--output=jsonpath={.data.token} {.data.organization}").Output()
	if err != nil {
		return fmt.Errorf("the server was set up by somebody else: %w", err)
	}
	var fields [2]string
	for i, field := range strings.Fields(string(out)) {
		text, err := base64.StdEncoding.DecodeString(field)
		if err != nil {
			return err
		}
		fields[i] = string(text)
	}
	p.organization = fields[1]
	p.admin = sdk.NewClient(sdk.Config{SiteURL: p.url, AccessToken: fields[0]})
	return nil
}

// project makes a project of the test's own.
func (p *product) project(t *testing.T) api.Project {
	t.Helper()
	slug := "e2e-" + strings.ToLower(random()[:8])
	project, err := p.admin.CreateProject(t.Context(), sdk.ProjectInput{Name: slug, Slug: slug})
	if err != nil {
		t.Fatal(err)
	}
	return project
}

// put gives keys of prod their values, in one transaction.
func (p *product) put(t *testing.T, project api.Project, path string, secrets map[string]string) {
	t.Helper()
	var all []sdk.SecretInput
	for key, value := range secrets {
		all = append(all, sdk.SecretInput{Key: key, Value: &value})
	}
	if _, err := p.admin.UpdateBatch(t.Context(), sdk.Scope{ProjectID: project.ID, Environment: "prod", SecretPath: path}, sdk.Upsert, all); err != nil {
		t.Fatal(err)
	}
}

// identity is a machine identity with credentials.
type identity struct{ id, clientID, clientSecret string }

// identity makes one that may read the project's secrets.
func (p *product) identity(t *testing.T, project api.Project) (i identity) {
	t.Helper()
	made, err := p.admin.CreateIdentity(t.Context(), sdk.IdentityInput{Name: "web-" + random()[:8], OrganizationID: p.organization})
	if err != nil {
		t.Fatal(err)
	}
	login, err := p.admin.AttachUniversalAuth(t.Context(), made.ID, sdk.UniversalAuthInput{})
	if err != nil {
		t.Fatal(err)
	}
	secret, err := p.admin.CreateClientSecret(t.Context(), made.ID, sdk.ClientSecretInput{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.admin.AddIdentityToProject(t.Context(), project.ID, made.ID, api.MembershipRole{Role: "viewer"}); err != nil {
		t.Fatal(err)
	}
	return identity{made.ID, login.ClientID, secret.Secret.Reveal()}
}

// credentials makes the Secret that pods name, or replaces its content.
func (ns namespace) credentials(t *testing.T, name string, i identity) {
	t.Helper()
	ns.apply(t, fmt.Sprintf("{apiVersion: v1, kind: Secret, metadata: {name: %s}, stringData: {clientId: %q, clientSecret: %q}}", name, i.clientID, i.clientSecret))
}

// plant makes a value that must be nowhere but in the server, in transit and in
// the memory of the pods that ask for it. What has been planted is looked for
// in every namespace before it goes, and on the node's disk at the end.
func plant() string {
	value := "canary-" + random()
	planted.Lock()
	defer planted.Unlock()
	planted.values = append(planted.values, value)
	return value
}

var planted struct {
	sync.Mutex
	values []string
}

// random is a text of 26 letters and digits.
func random() string { return rand.Text() }

// traces are those of the planted values that are in the text, in any of the
// forms in which they could be there.
func traces(text string) (found []string) {
	planted.Lock()
	defer planted.Unlock()
	for _, value := range planted.values {
		for _, form := range []string{value, hex.EncodeToString([]byte(value)), base64.RawStdEncoding.EncodeToString([]byte(value))} {
			if strings.Contains(text, form) {
				found = append(found, value)
				break
			}
		}
	}
	return found
}

// expectNoTrace looks for planted values in all that Kubernetes shows of the
// namespace: objects, Events and logs. Secrets are left out.
func (ns namespace) expectNoTrace(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	objects, err := ns.command(ctx, "kubectl", "get", "all,configmaps,events", "--output=json").Output()
	if err != nil {
		t.Errorf("look for values in the objects of %s: %v", ns.name, err)
	}
	if found := traces(string(objects)); found != nil {
		t.Errorf("objects or Events of %s hold %q", ns.name, found)
	}
	names, _ := ns.command(ctx, "kubectl", "get", "pods", "--output=name").Output()
	for _, pod := range strings.Fields(string(names)) {
		log, _ := ns.command(ctx, "kubectl", "logs", pod, "--all-containers", "--tail=-1").Output() // of what has started
		if found := traces(string(log)); found != nil {
			t.Errorf("the logs of %s in %s hold %q", pod, ns.name, found)
		}
	}
}

// awaitLog waits until a container's log has a line with the text, and gives
// the line. Only lines from the number since on count; next is the number after
// it.
func (ns namespace) awaitLog(t *testing.T, pod, container, text string, since int) (line string, next int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	var last string
	for ctx.Err() == nil { // kubectl ends where the container does, and cannot begin before it has started
		cmd := ns.command(ctx, "kubectl", "logs", "--follow", pod, "--container="+container)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		scanner := bufio.NewScanner(out)
		for n := 0; scanner.Scan(); n++ {
			last = scanner.Text()
			if n >= since && strings.Contains(last, text) {
				cmd.Process.Kill()
				cmd.Wait()
				return last, n + 1
			}
		}
		cmd.Wait()
		time.Sleep(200 * time.Millisecond)
	}
	t.Fatalf("no line with %q in the log of %s of %s; the last one is %q", text, container, pod, last)
	return "", 0
}
