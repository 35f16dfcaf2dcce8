package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hanzoai/kms/agent/config"
	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/sdk"
)

// demo is what the steps hand on to each other.
type demo struct {
	screen *screen
	keep   bool

	dir       string // programs, database, credentials
	memory    string // the secrets, on a tmpfs where there is one
	processes []*process
	url       string
	admin     *sdk.Client
	token     string
	orgID     string
	projects  map[string]api.Project
	identity  api.Identity
	agent     *process
	app       *process
	changed   time.Time
}

// service is the service that the demo follows.
const service = "gateway"

func (d *demo) startServer(ctx context.Context) error {
	address, err := freeAddress()
	if err != nil {
		return err
	}
	d.url = "http://" + address
	keys := []string{"ROOT_ENCRYPTION_KEY=" + base64.StdEncoding.EncodeToString(random(32)), "AUTH_SECRET=" + base64.RawURLEncoding.EncodeToString(random(32))}
	began := time.Now()
	server, err := d.start(keys, "kms-server", "-listen", address, "-admin-listen", "", "-data", d.path("data"))
	if err != nil {
		return err
	}
	if _, err := server.await(ctx, "serving"); err != nil {
		return err
	}
	d.screen.say("%s, ready after %d ms", d.url, time.Since(began).Milliseconds())
	return nil
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

func (d *demo) bootstrap(ctx context.Context) error {
	password := base64.RawURLEncoding.EncodeToString(random(18))
	first, err := sdk.NewClient(sdk.Config{SiteURL: d.url}).Bootstrap(ctx, sdk.BootstrapInput{Email: "admin@example.com", Password: password, Organization: "hanzo"})
	if err != nil {
		return err
	}
	d.token, d.orgID = first.Token.Reveal(), first.Organization.ID
	d.admin = sdk.NewClient(sdk.Config{SiteURL: d.url, AccessToken: d.token})
	for _, name := range []string{"lux", "zoo", "pars"} {
		if _, err := d.admin.CreateOrganization(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// estate is the ten projects of the standard and how many secrets each has.
var estate = []struct {
	slug  string
	count int
}{{"hanzo-iam", 23}, {"gateway", 12}, {"chat", 8}, {"cloud", 15}, {"console", 10}, {"commerce", 8}, {"platform", 14}, {"bootnode", 6}, {"flow", 9}, {"zen", 7}}

func (d *demo) loadProjects(ctx context.Context) error {
	d.projects = map[string]api.Project{}
	var rows [][]string
	total := 0
	for _, e := range estate {
		project, err := d.admin.CreateProject(ctx, sdk.ProjectInput{Name: e.slug, Slug: e.slug})
		if err != nil {
			return err
		}
		d.projects[e.slug] = project
		if _, err := d.admin.CreateBatch(ctx, scope(e.slug), generated(e.count)); err != nil {
			return err
		}
		list, err := d.admin.List(ctx, sdk.ListSecretsOptions{ProjectSlug: e.slug, Environment: "prod"})
		if err != nil {
			return err
		}
		if len(list.Secrets) != e.count {
			return fmt.Errorf("project %s lists %d secrets, not %d", e.slug, len(list.Secrets), e.count)
		}
		total += len(list.Secrets)
		rows = append(rows, []string{e.slug, "prod", strconv.Itoa(len(list.Secrets))})
	}
	d.screen.table([]string{"PROJECT", "ENVIRONMENT", "SECRETS"}, append(rows, []string{"", "", strconv.Itoa(total)}))
	return nil
}

func scope(project string) sdk.Scope { return sdk.Scope{ProjectSlug: project, Environment: "prod"} }

// generated makes secrets like those of a service, with random values.
func generated(count int) []sdk.SecretInput {
	names := []string{"DATABASE_URL", "REDIS_URL", "JWT_SECRET", "OAUTH_CLIENT_SECRET", "SMTP_PASSWORD", "API_KEY"}
	all := make([]sdk.SecretInput, count)
	for i := range all {
		value := base64.RawURLEncoding.EncodeToString(random(24))
		all[i] = sdk.SecretInput{Key: fmt.Sprintf("PARTNER_%02d_KEY", i+1), Value: &value}
		if i < len(names) {
			all[i].Key = names[i]
		}
	}
	return all
}

// createIdentity makes the identity of the service and puts its credentials
// into two files, as a pod gets them from its bootstrap Secret.
func (d *demo) createIdentity(ctx context.Context) error {
	var err error
	if d.identity, err = d.admin.CreateIdentity(ctx, sdk.IdentityInput{Name: service + "-service", OrganizationID: d.orgID}); err != nil {
		return err
	}
	ua, err := d.admin.AttachUniversalAuth(ctx, d.identity.ID, sdk.UniversalAuthInput{})
	if err != nil {
		return err
	}
	secret, err := d.admin.CreateClientSecret(ctx, d.identity.ID, sdk.ClientSecretInput{Description: "demo"})
	if err != nil {
		return err
	}
	if _, err := d.admin.AddIdentityToProject(ctx, d.projects[service].ID, d.identity.ID, api.MembershipRole{Role: "viewer"}); err != nil {
		return err
	}
	for name, text := range map[string]string{"clientId": ua.ClientID, "clientSecret": secret.Secret.Reveal()} {
		if err := os.WriteFile(d.path(name), []byte(text), 0o400); err != nil {
			return err
		}
	}
	d.screen.say("%s, client id %s, client secret %s...", d.identity.Name, ua.ClientID, secret.Data.Prefix)
	return nil
}

func (d *demo) startAgent(ctx context.Context) error {
	base, onDisk := "/dev/shm", false
	if info, err := os.Stat(base); err != nil || !info.IsDir() {
		base, onDisk = "", true
		d.screen.say("this machine has no /dev/shm, so the demo's random values go to a temporary folder")
	}
	var err error
	if d.memory, err = os.MkdirTemp(base, "kms-demo-"); err != nil {
		return err
	}
	cfg := d.agentConfig()
	cfg.Directory, cfg.AllowDisk = filepath.Join(d.memory, "secrets"), onDisk
	cfg.Outputs = []config.Output{{}, {Format: "dotenv", File: ".env"}}
	cfg.Notify = []config.Target{{PIDFile: d.path("app.pid")}}
	if err := d.writeConfig("agent.json", cfg); err != nil {
		return err
	}
	if err := os.Mkdir(cfg.Directory, 0o700); err != nil {
		return err
	}
	began := time.Now()
	if d.agent, err = d.start(nil, "kms-agent", "run", "-config", d.path("agent.json")); err != nil {
		return err
	}
	if _, err := d.agent.await(ctx, `"msg":"secrets written"`); err != nil {
		return err
	}
	d.screen.say("%s, complete after %d ms", cfg.Directory, time.Since(began).Milliseconds())
	return nil
}

// agentConfig says where an agent of the service reads its secrets.
func (d *demo) agentConfig() config.Config {
	return config.Config{Version: config.Version, Server: d.url, PollInterval: "1s",
		Credentials: config.Credentials{ClientIDFile: d.path("clientId"), ClientSecretFile: d.path("clientSecret")},
		Sources:     []config.Source{{Project: service, Environment: "prod"}}}
}

func (d *demo) writeConfig(name string, cfg config.Config) error {
	text, err := json.Marshal(cfg)
	if err != nil {
		return err
	}
	return os.WriteFile(d.path(name), text, 0o600)
}

func (d *demo) startApp(ctx context.Context) error {
	var err error
	if d.app, err = d.start(nil, "reload-app", filepath.Join(d.memory, "secrets"), d.path("app.pid")); err != nil {
		return err
	}
	line, err := d.app.await(ctx, "read ")
	if err != nil {
		return err
	}
	d.screen.say("the application: %s", line)
	return nil
}

func (d *demo) changeSecret(ctx context.Context) error {
	const key = "DATABASE_URL"
	value := "postgresql://gateway:" + base64.RawURLEncoding.EncodeToString(random(18)) + "@db:5432/gateway"
	changed, err := d.admin.Update(ctx, scope(service), sdk.SecretInput{Key: key, Value: &value})
	if err != nil {
		return err
	}
	d.changed = time.Now()
	d.screen.say("%s of %s is now version %d", key, service, changed.Version)
	line, err := d.app.await(ctx, key)
	if err != nil {
		return err
	}
	d.screen.say("the application: %s", line)
	d.screen.say("picked up %s after the change was acknowledged (the agent asks every second here)", d.screen.paint("1;32", time.Since(d.changed).Round(time.Millisecond).String()))
	return nil
}

func (d *demo) showAudit(ctx context.Context) error {
	page, err := d.admin.AuditLogs(ctx, sdk.AuditQuery{Project: service, Limit: 20})
	if err != nil {
		return err
	}
	var rows [][]string
	for i := len(page.Logs) - 1; i >= 0; i-- {
		rows = append(rows, auditRow(page.Logs[i]))
	}
	d.screen.table([]string{"TIME (UTC)", "WHO", "ACTION", "WHAT", "WHERE FROM", "OUTCOME"}, rows)
	if len(rows) < 4 {
		return fmt.Errorf("the audit trail of %s has %d rows: writing, reading and changing make at least 4", service, len(rows))
	}
	return nil
}

func auditRow(log api.AuditLog) []string {
	what := log.Event.Type
	var keys []string
	for _, k := range log.SecretKeys {
		keys = append(keys, k.SecretKey)
	}
	switch {
	case len(keys) > 3:
		what += fmt.Sprintf(": %s and %d more", strings.Join(keys[:2], ", "), len(keys)-2)
	case len(keys) > 0:
		what += ": " + strings.Join(keys, ", ")
	}
	who := log.Actor.Metadata["name"] + log.Actor.Metadata["email"]
	return []string{log.CreatedAt.UTC().Format("15:04:05.000"), who, log.Action, what, log.IPAddress, log.Outcome}
}

func (d *demo) showNext() {
	d.screen.step("It keeps running. Try:")
	secrets := filepath.Join(d.memory, "secrets")
	d.screen.say("ls -la %s", secrets)
	d.screen.say("cat %s/.env", secrets)
	d.screen.say("TOKEN=%s", d.token)
	d.screen.say(`curl -sS -X PATCH -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \`)
	d.screen.say(`  -d '{"projectSlug":"%s","environment":"prod","secretValue":"changed by hand"}' \`, service)
	d.screen.say(`  %s/api/v3/secrets/raw/API_KEY`, d.url)
	d.screen.say("cat %s/API_KEY", secrets)
	d.screen.say(`curl -sS -H "Authorization: Bearer $TOKEN" '%s/api/v1/audit-logs?projectId=%s&limit=5' | jq`, d.url, service)
	d.screen.say("")
	d.screen.say("Ctrl-C ends it and removes everything.")
}
