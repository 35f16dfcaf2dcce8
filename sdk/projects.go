package sdk

import (
	"context"
	"net/http"
	"net/url"

	"github.com/hanzoai/kms/api"
)

// ProjectInput is a project to create.
type ProjectInput struct {
	Name        string `json:"projectName"`
	Slug        string `json:"slug,omitempty"` // "": made from the name
	Description string `json:"projectDescription,omitempty"`

	// OrganizationID is needed only by callers of several organisations.
	OrganizationID string `json:"organizationId,omitempty"`

	// CreateDefaultEnvironments false leaves out dev, staging and prod; nil
	// creates them.
	CreateDefaultEnvironments *bool `json:"shouldCreateDefaultEnvs,omitempty"`
	HasDeleteProtection       bool  `json:"hasDeleteProtection,omitempty"`
}

// CreateProject makes a project, with the environments dev, staging and prod
// unless told otherwise.
func (c *Client) CreateProject(ctx context.Context, project ProjectInput) (api.Project, error) {
	return c.projectCall(ctx, http.MethodPost, "/api/v1/projects", project)
}

// GetProject finds a project by slug or id.
func (c *Client) GetProject(ctx context.Context, slugOrID string) (api.Project, error) {
	if api.IsID(slugOrID) {
		return c.projectCall(ctx, http.MethodGet, "/api/v1/projects/"+slugOrID, nil)
	}
	var project api.Project // this route answers it unwrapped
	err := c.call(ctx, http.MethodGet, "/api/v1/projects/slug/"+url.PathEscape(slugOrID), nil, nil, &project)
	return project, err
}

// ListProjects lists the projects that the caller is a member of.
func (c *Client) ListProjects(ctx context.Context) ([]api.Project, error) {
	var out struct {
		Projects []api.Project `json:"projects"`
	}
	err := c.call(ctx, http.MethodGet, "/api/v1/projects", nil, nil, &out)
	return out.Projects, err
}

// DeleteProject deletes a project and all that is in it.
func (c *Client) DeleteProject(ctx context.Context, id string) (api.Project, error) {
	return c.projectCall(ctx, http.MethodDelete, projectPath(id), nil)
}

func (c *Client) projectCall(ctx context.Context, method, path string, in any) (api.Project, error) {
	var out struct {
		Project api.Project `json:"project"`
	}
	err := c.call(ctx, method, path, nil, in, &out)
	return out.Project, err
}

func projectPath(id string) string { return "/api/v1/projects/" + url.PathEscape(id) }

// EnvironmentInput is an environment to create, or a change of one: what is
// zero stays as it is.
type EnvironmentInput struct {
	Name        string `json:"name,omitempty"`
	Slug        string `json:"slug,omitempty"`
	Position    int64  `json:"position,omitempty"`
	AccessLevel string `json:"accessLevel,omitempty"` // api.AccessOpen or api.AccessRestricted

	// Distinct makes "prod" and "production" two environments; otherwise the
	// one is another name of the other.
	Distinct bool `json:"distinct,omitempty"`
}

// ListEnvironments lists the environments of a project.
func (c *Client) ListEnvironments(ctx context.Context, projectID string) ([]api.Environment, error) {
	var out struct {
		Environments []api.Environment `json:"environments"`
	}
	err := c.call(ctx, http.MethodGet, environmentsPath(projectID), nil, nil, &out)
	return out.Environments, err
}

// CreateEnvironment makes an environment in a project.
func (c *Client) CreateEnvironment(ctx context.Context, projectID string, environment EnvironmentInput) (api.Environment, error) {
	return c.environmentCall(ctx, http.MethodPost, environmentsPath(projectID), environment)
}

// UpdateEnvironment changes an environment, given by its id.
func (c *Client) UpdateEnvironment(ctx context.Context, projectID, id string, environment EnvironmentInput) (api.Environment, error) {
	return c.environmentCall(ctx, http.MethodPatch, environmentsPath(projectID)+"/"+url.PathEscape(id), environment)
}

// DeleteEnvironment deletes an environment, given by its id, and all that is
// in it.
func (c *Client) DeleteEnvironment(ctx context.Context, projectID, id string) (api.Environment, error) {
	return c.environmentCall(ctx, http.MethodDelete, environmentsPath(projectID)+"/"+url.PathEscape(id), nil)
}

func (c *Client) environmentCall(ctx context.Context, method, path string, in any) (api.Environment, error) {
	var out struct {
		Environment api.Environment `json:"environment"`
	}
	err := c.call(ctx, method, path, nil, in, &out)
	return out.Environment, err
}

func environmentsPath(projectID string) string {
	return "/api/v1/workspace/" + url.PathEscape(projectID) + "/environments"
}
