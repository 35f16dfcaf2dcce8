package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/sdk"
)

const (
	folderSize    = 100 // secrets of the folder that is read
	writeProjects = 16
	agentKeys     = 50
)

// instance is a server with something in it, and the requests to measure.
type instance struct {
	operations []operation
	agent      sdk.NewClientSecret
	agentID    string // client id
	admin      *sdk.Client
}

// filler makes what is in an instance.
type filler struct {
	ctx   context.Context
	url   string
	admin *sdk.Client
	orgID string
}

// fill sets an empty server up over its API.
func fill(ctx context.Context, e *engine) (*instance, error) {
	f := &filler{ctx: ctx, url: "http://" + e.server.address}
	done, err := sdk.NewClient(sdk.Config{SiteURL: f.url}).Bootstrap(ctx, sdk.BootstrapInput{Email: "bench@example.com", Password: randomText(), Organization: "bench"})
	if err != nil {
		return nil, err
	}
	f.orgID, f.admin = done.Organization.ID, sdk.NewClient(sdk.Config{SiteURL: f.url, AccessToken: done.Token.Reveal()})
	i := &instance{admin: f.admin}
	if err := f.readers(i, e.server.address); err != nil {
		return nil, err
	}
	if err := f.writers(i); err != nil {
		return nil, err
	}
	return i, f.agentProject(i)
}

// login is who an identity is.
type login struct {
	clientID string
	secret   sdk.NewClientSecret
	token    string
}

// readers fills a project and makes the operations that read it.
func (f *filler) readers(i *instance, address string) error {
	project, reader, err := f.project("shop", "viewer", "SECRET", folderSize)
	if err != nil {
		return err
	}
	place := url.Values{"workspaceId": {project.ID}, "environment": {"prod"}, "secretPath": {"/"}}.Encode()
	credentials, err := json.Marshal(map[string]string{"clientId": reader.clientID, "clientSecret": reader.secret.Secret.Reveal()})
	if err != nil {
		return err
	}
	bearer := "Authorization: Bearer " + reader.token + "\r\n"
	same := func(request []byte) func(int) []byte { return func(int) []byte { return request } }
	list := request("folder", "GET", "/api/v3/secrets/raw?"+place, bearer, nil)
	folder := operation{"folder", http.StatusOK, same(list)}
	answer, err := ask(address, folder)
	if err != nil {
		return err
	}
	i.operations = append(i.operations,
		operation{"login", http.StatusOK, same(request("login", "POST", "/api/v1/auth/universal-auth/login", "", credentials))},
		operation{"read", http.StatusOK, func(client int) []byte {
			return request("read", "GET", fmt.Sprintf("/api/v3/secrets/raw/SECRET_%02d?%s", client%folderSize, place), bearer, nil)
		}},
		folder,
		operation{"304", http.StatusNotModified, same(request("304", "GET", "/api/v3/secrets/raw?"+place, bearer+"If-None-Match: "+answer.ETag+"\r\n", nil))})
	return nil
}

// writers makes the projects that are written to, each by an identity of its own.
func (f *filler) writers(i *instance) error {
	var requests [][]byte
	for n := range writeProjects {
		project, writer, err := f.project(fmt.Sprintf("write-%02d", n), "member", "SECRET", folderSize)
		if err != nil {
			return err
		}
		body, err := json.Marshal(map[string]string{"workspaceId": project.ID, "environment": "prod", "secretPath": "/", "secretValue": randomText()})
		if err != nil {
			return err
		}
		for key := range folderSize {
			requests = append(requests, request("write", "PATCH", fmt.Sprintf("/api/v3/secrets/raw/SECRET_%02d", key),
				"Authorization: Bearer "+writer.token+"\r\n", body))
		}
	}
	// Client 0 writes the first secret of the first project, client 1 that of
	// the second, and so on.
	i.operations = append(i.operations, operation{"write", http.StatusOK, func(client int) []byte {
		return requests[client%writeProjects*folderSize+client/writeProjects%folderSize]
	}})
	return nil
}

func (f *filler) agentProject(i *instance) error {
	_, reader, err := f.project("agent", "viewer", "KEY", agentKeys)
	i.agentID, i.agent = reader.clientID, reader.secret
	return err
}

// project makes a project with secrets in prod, and an identity with a role in it.
func (f *filler) project(slug, role, prefix string, secrets int) (project api.Project, who login, err error) {
	if project, err = f.admin.CreateProject(f.ctx, sdk.ProjectInput{Name: slug, Slug: slug}); err != nil {
		return project, who, err
	}
	var all []sdk.SecretInput
	for n := range secrets {
		value := randomText()
		all = append(all, sdk.SecretInput{Key: fmt.Sprintf("%s_%02d", prefix, n), Value: &value})
	}
	if _, err = f.admin.CreateBatch(f.ctx, sdk.Scope{ProjectID: project.ID, Environment: "prod"}, all); err != nil {
		return project, who, err
	}
	identity, err := f.admin.CreateIdentity(f.ctx, sdk.IdentityInput{Name: slug + "-service", OrganizationID: f.orgID})
	if err != nil {
		return project, who, err
	}
	if _, err = f.admin.AddIdentityToProject(f.ctx, project.ID, identity.ID, api.MembershipRole{Role: role}); err != nil {
		return project, who, err
	}
	who, err = f.login(identity.ID)
	return project, who, err
}

func (f *filler) login(identityID string) (who login, err error) {
	attached, err := f.admin.AttachUniversalAuth(f.ctx, identityID, sdk.UniversalAuthInput{})
	if err != nil {
		return who, err
	}
	who.clientID = attached.ClientID
	if who.secret, err = f.admin.CreateClientSecret(f.ctx, identityID, sdk.ClientSecretInput{}); err != nil {
		return who, err
	}
	who.token, err = f.token(who)
	return who, err
}

func (f *filler) token(who login) (string, error) {
	body, err := json.Marshal(map[string]string{"clientId": who.clientID, "clientSecret": who.secret.Secret.Reveal()})
	if err != nil {
		return "", err
	}
	resp, err := http.Post(f.url+"/api/v1/auth/universal-auth/login", "application/json", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var answer struct {
		AccessToken string `json:"accessToken"`
	}
	err = json.NewDecoder(resp.Body).Decode(&answer)
	if err == nil && answer.AccessToken == "" {
		err = fmt.Errorf("log in: status %d", resp.StatusCode)
	}
	return answer.AccessToken, err
}

// request makes the bytes of a request. The host tells the bare handler which
// operation it is; the server does not look at it.
func request(host, method, target, headers string, body []byte) []byte {
	b := fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: kms-bench\r\n%s", method, target, host, headers)
	if body != nil {
		b = fmt.Appendf(b, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	return append(append(b, "\r\n"...), body...)
}

func randomText() string {
	random := make([]byte, 30)
	rand.Read(random)
	return base64.RawURLEncoding.EncodeToString(random)
}

// reply is a recorded answer.
type reply struct {
	Status int
	ETag   string
	Body   []byte
}

// ask does an operation once and records the answer.
func ask(address string, op operation) (r reply, err error) {
	load, err := dial(address, op, 1)
	if err != nil {
		return r, err
	}
	defer load.close()
	var body bytes.Buffer
	etag, err := load.clients[0].once(&body)
	return reply{op.status, etag, body.Bytes()}, err
}

// replies records an answer to each operation.
func (i *instance) replies(address string) (map[string]reply, error) {
	all := map[string]reply{}
	for _, op := range i.operations {
		r, err := ask(address, op)
		if err != nil {
			return nil, fmt.Errorf("record %s: %w", op.name, err)
		}
		all[op.name] = r
	}
	return all, nil
}
