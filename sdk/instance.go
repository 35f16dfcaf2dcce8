package sdk

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"

	"github.com/hanzoai/kms/api"
)

// Status is the state of a server.
type Status struct {
	Date    api.Time `json:"date"`
	Message string   `json:"message"` // "Ok"
}

// Status asks whether the server is up. It needs no credentials.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var out Status
	err := c.callRequest(ctx, request{method: http.MethodGet, path: "/api/status", open: true}, &out)
	return out, err
}

// BootstrapInput is the first person and organisation of a new server.
type BootstrapInput struct {
	Email        string
	Password     string
	Organization string
}

// Format prints the e-mail address and the organisation, never the password.
func (b BootstrapInput) Format(f fmt.State, verb rune) {
	fmt.Fprintf(f, "{%s %s [redacted]}", b.Email, b.Organization)
}

// LogValue is what slog shows of a BootstrapInput: no password.
func (b BootstrapInput) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(b)) }

// Bootstrapped is the outcome of Bootstrap.
type Bootstrapped struct {
	Token        api.Value // access token of the instance's admin identity; it does not expire
	IdentityID   string
	Organization api.Organization
	User         api.User
}

// Bootstrap sets up a new server. It needs no credentials, works once, and is
// api.ErrInvalid afterwards.
func (c *Client) Bootstrap(ctx context.Context, in BootstrapInput) (Bootstrapped, error) {
	var out struct {
		Identity struct {
			ID          string `json:"id"`
			Credentials struct {
				Token api.Value `json:"token"`
			} `json:"credentials"`
		} `json:"identity"`
		Organization api.Organization `json:"organization"`
		User         api.User         `json:"user"`
	}
	err := c.callRequest(ctx, request{
		method: http.MethodPost,
		path:   "/api/v1/admin/bootstrap",
		body: struct {
			Email        string `json:"email"`
			Password     string `json:"password"`
			Organization string `json:"organization"`
		}{in.Email, in.Password, in.Organization},
		open: true,
	}, &out)
	return Bootstrapped{out.Identity.Credentials.Token, out.Identity.ID, out.Organization, out.User}, err
}

const organizationsPath = "/api/v1/admin/organization-management/organizations"

// ListOrganizations lists the organisations of the server.
func (c *Client) ListOrganizations(ctx context.Context) ([]api.Organization, error) {
	var out struct {
		Organizations []api.Organization `json:"organizations"`
	}
	err := c.call(ctx, http.MethodGet, organizationsPath, nil, nil, &out)
	return out.Organizations, err
}

// CreateOrganization makes an organisation.
func (c *Client) CreateOrganization(ctx context.Context, name string) (api.Organization, error) {
	in := struct {
		Name string `json:"name"`
	}{name}
	var out struct {
		Organization api.Organization `json:"organization"`
	}
	err := c.call(ctx, http.MethodPost, organizationsPath, nil, in, &out)
	return out.Organization, err
}
