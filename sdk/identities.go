package sdk

import (
	"context"
	"net/http"
	"net/url"

	"github.com/hanzoai/kms/api"
)

// IdentityInput is a machine identity to create.
type IdentityInput struct {
	Name                string `json:"name"`
	OrganizationID      string `json:"organizationId"`
	Role                string `json:"role,omitempty"` // in the organisation: "admin", "member" or "no-access"
	HasDeleteProtection bool   `json:"hasDeleteProtection,omitempty"`
}

// identityAnswer is an identity as the calls answer it: some of them put it
// one level deeper, beside the role that it has.
type identityAnswer struct {
	api.Identity
	Nested *api.Identity `json:"identity"`
}

func (a identityAnswer) identity() api.Identity {
	if a.Nested == nil {
		return a.Identity
	}
	identity := *a.Nested
	if identity.Role == "" {
		identity.Role = a.Role
	}
	if identity.OrgID == "" {
		identity.OrgID = a.OrgID
	}
	return identity
}

// CreateIdentity makes a machine identity. It cannot log in before
// AttachUniversalAuth and CreateClientSecret.
func (c *Client) CreateIdentity(ctx context.Context, identity IdentityInput) (api.Identity, error) {
	return c.identityCall(ctx, http.MethodPost, "/api/v1/identities", identity)
}

// GetIdentity finds an identity by id.
func (c *Client) GetIdentity(ctx context.Context, id string) (api.Identity, error) {
	return c.identityCall(ctx, http.MethodGet, identityPath(id), nil)
}

// DeleteIdentity deletes an identity; its tokens end.
func (c *Client) DeleteIdentity(ctx context.Context, id string) (api.Identity, error) {
	return c.identityCall(ctx, http.MethodDelete, identityPath(id), nil)
}

// ListIdentities lists the identities of an organisation.
func (c *Client) ListIdentities(ctx context.Context, organizationID string) ([]api.Identity, error) {
	var out struct {
		Identities []identityAnswer `json:"identities"`
	}
	err := c.call(ctx, http.MethodGet, "/api/v1/identities", url.Values{"orgId": {organizationID}}, nil, &out)
	if err != nil {
		return nil, err
	}
	identities := make([]api.Identity, len(out.Identities))
	for i, a := range out.Identities {
		identities[i] = a.identity()
	}
	return identities, nil
}

func (c *Client) identityCall(ctx context.Context, method, path string, in any) (api.Identity, error) {
	var out struct {
		Identity identityAnswer `json:"identity"`
	}
	err := c.call(ctx, method, path, nil, in, &out)
	return out.Identity.identity(), err
}

func identityPath(id string) string { return "/api/v1/identities/" + url.PathEscape(id) }

// UniversalAuthInput is the Universal Auth configuration of an identity, or a
// change of it: what is nil has the server's default, or stays as it is. All
// times are in seconds.
type UniversalAuthInput struct {
	AccessTokenTTL          *int64          `json:"accessTokenTTL,omitempty"`
	AccessTokenMaxTTL       *int64          `json:"accessTokenMaxTTL,omitempty"`
	AccessTokenNumUsesLimit *int64          `json:"accessTokenNumUsesLimit,omitempty"` // 0: no limit
	AccessTokenPeriod       *int64          `json:"accessTokenPeriod,omitempty"`
	ClientSecretTrustedIPs  []api.TrustedIP `json:"clientSecretTrustedIps,omitzero"`
	AccessTokenTrustedIPs   []api.TrustedIP `json:"accessTokenTrustedIps,omitzero"`
	LockoutEnabled          *bool           `json:"lockoutEnabled,omitempty"`
	LockoutThreshold        *int64          `json:"lockoutThreshold,omitempty"`
	LockoutDuration         *int64          `json:"lockoutDurationSeconds,omitempty"`
	LockoutCounterReset     *int64          `json:"lockoutCounterResetSeconds,omitempty"`
}

// AttachUniversalAuth lets an identity log in with Universal Auth, and gives
// its client id.
func (c *Client) AttachUniversalAuth(ctx context.Context, identityID string, auth UniversalAuthInput) (api.UniversalAuth, error) {
	return c.universalAuthCall(ctx, http.MethodPost, identityID, auth)
}

// GetUniversalAuth gives the Universal Auth configuration of an identity.
func (c *Client) GetUniversalAuth(ctx context.Context, identityID string) (api.UniversalAuth, error) {
	return c.universalAuthCall(ctx, http.MethodGet, identityID, nil)
}

// UpdateUniversalAuth changes the Universal Auth configuration of an identity.
func (c *Client) UpdateUniversalAuth(ctx context.Context, identityID string, auth UniversalAuthInput) (api.UniversalAuth, error) {
	return c.universalAuthCall(ctx, http.MethodPatch, identityID, auth)
}

// DetachUniversalAuth ends Universal Auth, its client secrets and its tokens.
func (c *Client) DetachUniversalAuth(ctx context.Context, identityID string) (api.UniversalAuth, error) {
	return c.universalAuthCall(ctx, http.MethodDelete, identityID, nil)
}

func (c *Client) universalAuthCall(ctx context.Context, method, identityID string, in any) (api.UniversalAuth, error) {
	var out struct {
		Auth api.UniversalAuth `json:"identityUniversalAuth"`
	}
	err := c.call(ctx, method, universalAuthPath(identityID), nil, in, &out)
	return out.Auth, err
}

func universalAuthPath(identityID string) string {
	return "/api/v1/auth/universal-auth/identities/" + url.PathEscape(identityID)
}

// ClientSecretInput is a client secret to create.
type ClientSecretInput struct {
	Description  string `json:"description"`
	NumUsesLimit int64  `json:"numUsesLimit"` // 0: no limit
	TTL          int64  `json:"ttl"`          // seconds, 0: no end
}

// NewClientSecret is a client secret when it is shown, the only time.
type NewClientSecret struct {
	Secret api.Value        `json:"clientSecret"` // its Reveal is the secret
	Data   api.ClientSecret `json:"clientSecretData"`
}

// CreateClientSecret makes one more client secret of an identity.
func (c *Client) CreateClientSecret(ctx context.Context, identityID string, secret ClientSecretInput) (NewClientSecret, error) {
	var out NewClientSecret
	err := c.call(ctx, http.MethodPost, clientSecretsPath(identityID), nil, secret, &out)
	return out, err
}

// RegenerateClientSecret makes a client secret in place of all that the
// identity has: they end graceSeconds later. nil is the server's grace.
func (c *Client) RegenerateClientSecret(ctx context.Context, identityID string, secret ClientSecretInput, graceSeconds *int64) (NewClientSecret, error) {
	in := struct {
		ClientSecretInput
		GraceSeconds *int64 `json:"graceSeconds,omitempty"`
	}{secret, graceSeconds}
	var out NewClientSecret
	err := c.call(ctx, http.MethodPost, clientSecretsPath(identityID)+"/regenerate", nil, in, &out)
	return out, err
}

// ListClientSecrets lists what is known of an identity's client secrets.
func (c *Client) ListClientSecrets(ctx context.Context, identityID string) ([]api.ClientSecret, error) {
	var out struct {
		Data []api.ClientSecret `json:"clientSecretData"`
	}
	err := c.call(ctx, http.MethodGet, clientSecretsPath(identityID), nil, nil, &out)
	return out.Data, err
}

// RevokeClientSecret ends a client secret and the tokens that it got.
func (c *Client) RevokeClientSecret(ctx context.Context, identityID, id string) (api.ClientSecret, error) {
	var out struct {
		Data api.ClientSecret `json:"clientSecretData"`
	}
	err := c.call(ctx, http.MethodPost, clientSecretsPath(identityID)+"/"+url.PathEscape(id)+"/revoke", nil, nil, &out)
	return out.Data, err
}

func clientSecretsPath(identityID string) string {
	return universalAuthPath(identityID) + "/client-secrets"
}
