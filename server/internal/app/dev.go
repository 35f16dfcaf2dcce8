package app

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/netip"
	"os"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/internal/auth"
	"github.com/hanzoai/kms/server/internal/seal"
	"github.com/hanzoai/kms/server/internal/secrets"
)

// Generate makes the keys of an instance: a root key and an auth secret.
func Generate() (rootKey, authSecret string) {
	random := make([]byte, 32)
	rand.Read(random)
	return seal.GenerateRootKey(), base64.RawURLEncoding.EncodeToString(random)
}

// Throwaway turns the configuration into that of an instance of its own: a
// temporary folder, generated keys, loopback. remove deletes the folder.
func (c *Config) Throwaway() (remove func(), err error) {
	dir, err := os.MkdirTemp("", "kms-dev-")
	if err != nil {
		return nil, err
	}
	rootKey, authSecret := Generate()
	c.Data, c.RootKey, c.AuthSecret = dir, api.NewValue(rootKey), api.NewValue(authSecret)
	if c.Listen == ":8080" {
		c.Listen = "127.0.0.1:8080"
	}
	return func() { os.RemoveAll(dir) }, c.parseKeys()
}

// seed fills an empty instance with one organisation, project, identity and
// secret, and writes how to log in.
func (a *App) seed(ctx context.Context) error {
	caller := secrets.Caller{Addr: netip.MustParseAddr("127.0.0.1"), UserAgent: "kms-server -dev"}
	password, _ := auth.NewOpaqueToken()
	done, err := a.service.Bootstrap(ctx, caller, "dev@example.com", password, "dev")
	if err != nil {
		return err
	}
	caller.Token = done.Token
	login, err := a.seedProject(ctx, caller)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.SeedTo, devText, "http://"+a.Addr().String(), done.Token.Reveal(), password.Reveal(), login.id, login.secret.Reveal())
	return err
}

type devLogin struct {
	id     string
	secret api.Value
}

func (a *App) seedProject(ctx context.Context, caller secrets.Caller) (login devLogin, err error) {
	project, err := a.service.CreateProject(ctx, caller, secrets.NewProject{Name: "Demo", Slug: "demo"})
	if err != nil {
		return login, err
	}
	value := api.NewValue("hello from kms")
	place := secrets.Place{Project: secrets.ProjectRef{ID: project.ID}, Environment: "dev", Path: "/"}
	if _, err := a.service.Create(ctx, caller, place, []secrets.Write{{Key: "GREETING", Value: &value}}); err != nil {
		return login, err
	}
	name := "demo-service"
	identity, err := a.service.CreateIdentity(ctx, caller, "", secrets.IdentityUpdate{Name: &name})
	if err != nil {
		return login, err
	}
	ua, err := a.service.AttachUniversalAuth(ctx, caller, identity.ID, secrets.UniversalAuthUpdate{})
	if err != nil {
		return login, err
	}
	if _, err := a.service.AddMember(ctx, caller, secrets.ProjectRef{ID: project.ID}, secrets.ActorIdentity, identity.ID, []secrets.MemberRole{{Role: "member"}}); err != nil {
		return login, err
	}
	secret, _, err := a.service.CreateClientSecret(ctx, caller, identity.ID, secrets.NewClientSecret{Description: "dev"})
	return devLogin{ua.ClientID, secret}, err
}

const devText = `
A throw-away instance of Hanzo KMS: everything is gone when it stops.

  URL              %[1]s
  admin token      %[2]s
  admin person     dev@example.com  %[3]s
  machine identity %[4]s  (member of the project demo)

Paste this to log in as the machine identity and read its secret:

  TOKEN=$(curl -sS %[1]s/api/v1/auth/universal-auth/login \
    -H 'Content-Type: application/json' \
    -d '{"clientId":"%[4]s","clientSecret":"%[5]s"}' | jq -r .accessToken)
  curl -sS -H "Authorization: Bearer $TOKEN" \
    '%[1]s/api/v3/secrets/raw?workspaceSlug=demo&environment=dev&secretPath=/' | jq

`
