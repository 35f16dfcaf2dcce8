package sdk

import (
	"context"
	"net/http"
	"net/url"

	"github.com/hanzoai/kms/api"
)

// membershipBody carries the roles of a membership.
type membershipBody struct {
	Roles []api.MembershipRole `json:"roles"`
}

// AddIdentityToProject makes an identity a member of a project with roles.
func (c *Client) AddIdentityToProject(ctx context.Context, projectID, identityID string, roles ...api.MembershipRole) (api.Membership, error) {
	return c.membershipCall(ctx, http.MethodPost, projectID, identityID, membershipBody{roles})
}

// UpdateIdentityInProject replaces the roles of an identity in a project.
func (c *Client) UpdateIdentityInProject(ctx context.Context, projectID, identityID string, roles ...api.MembershipRole) (api.Membership, error) {
	return c.membershipCall(ctx, http.MethodPatch, projectID, identityID, membershipBody{roles})
}

// RemoveIdentityFromProject ends the membership of an identity.
func (c *Client) RemoveIdentityFromProject(ctx context.Context, projectID, identityID string) (api.Membership, error) {
	return c.membershipCall(ctx, http.MethodDelete, projectID, identityID, nil)
}

// ListIdentitiesOfProject lists the memberships of a project's identities.
func (c *Client) ListIdentitiesOfProject(ctx context.Context, projectID string) ([]api.Membership, error) {
	var out struct {
		Memberships []api.Membership `json:"identityMemberships"`
	}
	err := c.call(ctx, http.MethodGet, membershipsPath(projectID), nil, nil, &out)
	return out.Memberships, err
}

func (c *Client) membershipCall(ctx context.Context, method, projectID, identityID string, in any) (api.Membership, error) {
	var out struct {
		Membership api.Membership `json:"identityMembership"`
	}
	err := c.call(ctx, method, membershipsPath(projectID)+"/"+url.PathEscape(identityID), nil, in, &out)
	return out.Membership, err
}

func membershipsPath(projectID string) string {
	return "/api/v2/workspace/" + url.PathEscape(projectID) + "/identity-memberships"
}

// RoleInput is a custom role to create, or a change of one: what is zero stays
// as it is.
type RoleInput struct {
	Slug        string     `json:"slug,omitempty"`
	Name        string     `json:"name,omitempty"`
	Description string     `json:"description,omitempty"`
	Rules       []api.Rule `json:"permissions,omitzero"`
}

// CreateRole makes a custom role in a project.
func (c *Client) CreateRole(ctx context.Context, projectID string, role RoleInput) (api.Role, error) {
	return c.roleCall(ctx, http.MethodPost, rolesPath(projectID), role)
}

// UpdateRole changes a custom role, given by its id.
func (c *Client) UpdateRole(ctx context.Context, projectID, id string, role RoleInput) (api.Role, error) {
	return c.roleCall(ctx, http.MethodPatch, rolesPath(projectID)+"/"+url.PathEscape(id), role)
}

// DeleteRole deletes a custom role, given by its id.
func (c *Client) DeleteRole(ctx context.Context, projectID, id string) (api.Role, error) {
	return c.roleCall(ctx, http.MethodDelete, rolesPath(projectID)+"/"+url.PathEscape(id), nil)
}

// ListRoles lists the roles of a project.
func (c *Client) ListRoles(ctx context.Context, projectID string) ([]api.Role, error) {
	var out struct {
		Roles []api.Role `json:"roles"`
	}
	err := c.call(ctx, http.MethodGet, rolesPath(projectID), nil, nil, &out)
	return out.Roles, err
}

func (c *Client) roleCall(ctx context.Context, method, path string, in any) (api.Role, error) {
	var out struct {
		Role api.Role `json:"role"`
	}
	err := c.call(ctx, method, path, nil, in, &out)
	return out.Role, err
}

func rolesPath(projectID string) string {
	return "/api/v1/workspace/" + url.PathEscape(projectID) + "/roles"
}
