package kmstest

import (
	"context"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/sdk"
)

// Credentials are those of a machine identity.
type Credentials struct {
	IdentityID   string
	ClientID     string
	ClientSecret string
}

// Anonymous is a client that has no credentials.
func (s *Server) Anonymous() *sdk.Client {
	return sdk.NewClient(sdk.Config{SiteURL: s.URL, MaxRetries: -1})
}

// Admin is a client of the identity that administers the instance and its
// first organisation.
func (s *Server) Admin() *sdk.Client { return s.WithToken(s.Token.Reveal()) }

// WithToken is a client that uses an access token as it is.
func (s *Server) WithToken(token string) *sdk.Client {
	return sdk.NewClient(sdk.Config{SiteURL: s.URL, AccessToken: token, MaxRetries: -1})
}

// Client is a client that logs in with credentials.
func (s *Server) Client(c Credentials) *sdk.Client {
	return sdk.NewClient(sdk.Config{SiteURL: s.URL, ClientID: c.ClientID, ClientSecret: c.ClientSecret, MaxRetries: -1})
}

// Project makes a project with a slug.
func (s *Server) Project(slug string) api.Project {
	s.tb.Helper()
	project, err := s.Admin().CreateProject(context.Background(), sdk.ProjectInput{Name: slug, Slug: slug})
	if err != nil {
		s.tb.Fatalf("create the project %s: %v", slug, err)
	}
	return project
}

// Identity makes a machine identity with credentials and a role in a project;
// with an empty role it is no member.
func (s *Server) Identity(project api.Project, role string) Credentials {
	s.tb.Helper()
	ctx, admin := context.Background(), s.Admin()
	identity, err := admin.CreateIdentity(ctx, sdk.IdentityInput{Name: project.Slug + "-service", OrganizationID: s.OrgID})
	if err != nil {
		s.tb.Fatalf("create an identity: %v", err)
	}
	if role != "" {
		if _, err := admin.AddIdentityToProject(ctx, project.ID, identity.ID, api.MembershipRole{Role: role}); err != nil {
			s.tb.Fatalf("add the identity to %s: %v", project.Slug, err)
		}
	}
	return s.Attach(identity.ID, sdk.UniversalAuthInput{})
}

// Attach gives an identity Universal Auth and one client secret.
func (s *Server) Attach(identityID string, ua sdk.UniversalAuthInput) Credentials {
	s.tb.Helper()
	ctx, admin := context.Background(), s.Admin()
	attached, err := admin.AttachUniversalAuth(ctx, identityID, ua)
	if err != nil {
		s.tb.Fatalf("attach universal auth: %v", err)
	}
	secret, err := admin.CreateClientSecret(ctx, identityID, sdk.ClientSecretInput{})
	if err != nil {
		s.tb.Fatalf("create a client secret: %v", err)
	}
	s.Plant(secret.Secret.Reveal())
	return Credentials{IdentityID: identityID, ClientID: attached.ClientID, ClientSecret: secret.Secret.Reveal()}
}

// Put sets secrets of a folder of a project, given as keys and values in turn.
func (s *Server) Put(project api.Project, environment, path string, pairs ...string) {
	s.tb.Helper()
	var all []sdk.SecretInput
	for i := 0; i+1 < len(pairs); i += 2 {
		value := pairs[i+1]
		all = append(all, sdk.SecretInput{Key: pairs[i], Value: &value})
	}
	scope := sdk.Scope{ProjectID: project.ID, Environment: environment, SecretPath: path}
	if _, err := s.Admin().UpdateBatch(context.Background(), scope, sdk.Upsert, all); err != nil {
		s.tb.Fatalf("set secrets in %s: %v", path, err)
	}
}
