package httpapi

import (
	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/internal/secrets"
)

// under answers v as the field name, or bare where there is none.
func under(name string, v any) any {
	if name == "" {
		return v
	}
	return object{name: v}
}

func listProjects(name string) func(*exchange) (any, error) {
	return func(x *exchange) (any, error) {
		all, err := x.h.cfg.Service.Projects(x.r.Context(), x.caller)
		return under(name, all), err
	}
}

func getProject(name string) func(*exchange) (any, error) {
	return func(x *exchange) (any, error) {
		project, err := x.h.cfg.Service.Project(x.r.Context(), x.caller, x.project())
		return under(name, project), err
	}
}

// createProject answers {"project":{...}}.
func createProject(x *exchange) (any, error) {
	var body struct {
		ProjectName        *string `json:"projectName"`
		Name               *string `json:"name"`
		ProjectDescription *string `json:"projectDescription"`
		Description        *string `json:"description"`
		Slug               *string `json:"slug"`
		OrganizationID     *string `json:"organizationId"`
		Protected          *bool   `json:"hasDeleteProtection"`
		Defaults           *bool   `json:"shouldCreateDefaultEnvs"`
	}
	if err := x.body(&body); err != nil {
		return nil, err
	}
	if body.Defaults != nil && !*body.Defaults {
		return nil, api.Errorf(api.ErrInvalid, "Every project has the environments dev, staging and prod: leave shouldCreateDefaultEnvs out")
	}
	project, err := x.h.cfg.Service.CreateProject(x.r.Context(), x.caller, secrets.NewProject{OrganizationID: text(body.OrganizationID),
		Name: text(body.ProjectName, body.Name), Slug: text(body.Slug), Description: text(body.ProjectDescription, body.Description),
		Protected: body.Protected != nil && *body.Protected})
	return object{"project": project}, err
}

func updateProject(name string) func(*exchange) (any, error) {
	return func(x *exchange) (any, error) {
		var body struct {
			Name        *string `json:"name"`
			Slug        *string `json:"slug"`
			Description *string `json:"description"`
			Protected   *bool   `json:"hasDeleteProtection"`
		}
		if err := x.body(&body); err != nil {
			return nil, err
		}
		project, err := x.h.cfg.Service.UpdateProject(x.r.Context(), x.caller, x.project(), secrets.ProjectUpdate{
			Name: body.Name, Slug: body.Slug, Description: body.Description, Protected: body.Protected})
		return under(name, project), err
	}
}

func deleteProject(name string) func(*exchange) (any, error) {
	return func(x *exchange) (any, error) {
		project, err := x.h.cfg.Service.DeleteProject(x.r.Context(), x.caller, x.project())
		return under(name, project), err
	}
}

// listEnvironments answers {"environments":[...]}.
func listEnvironments(x *exchange) (any, error) {
	project, err := x.h.cfg.Service.Project(x.r.Context(), x.caller, x.project())
	return object{"environments": project.Environments}, err
}

type environmentBody struct {
	Name        *string `json:"name"`
	Slug        *string `json:"slug"`
	Position    *int64  `json:"position"`
	AccessLevel *string `json:"accessLevel"`
	Distinct    *bool   `json:"distinct"`
}

func (x *exchange) environmentBody() (secrets.EnvironmentUpdate, error) {
	var body environmentBody
	if err := x.body(&body); err != nil {
		return secrets.EnvironmentUpdate{}, err
	}
	u := secrets.EnvironmentUpdate{Name: body.Name, Slug: body.Slug, Position: body.Position, Distinct: body.Distinct != nil && *body.Distinct}
	switch level := text(body.AccessLevel); level {
	case "":
	case api.AccessOpen, api.AccessRestricted:
		restricted := level == api.AccessRestricted
		u.Restricted = &restricted
	default:
		return u, api.Errorf(api.ErrInvalid, "The field accessLevel must be %s or %s", api.AccessOpen, api.AccessRestricted)
	}
	return u, nil
}

// environmentAnswer is how a change of an environment is answered.
func environmentAnswer(message string, env api.Environment, err error) (any, error) {
	return object{"message": message, "workspace": env.ProjectID, "environment": env}, err
}

func createEnvironment(x *exchange) (any, error) {
	u, err := x.environmentBody()
	if err != nil {
		return nil, err
	}
	env, err := x.h.cfg.Service.CreateEnvironment(x.r.Context(), x.caller, x.project(), u)
	return environmentAnswer("Successfully created new environment", env, err)
}

func updateEnvironment(x *exchange) (any, error) {
	u, err := x.environmentBody()
	if err != nil {
		return nil, err
	}
	env, err := x.h.cfg.Service.UpdateEnvironment(x.r.Context(), x.caller, x.project(), x.params["environment"], u)
	return environmentAnswer("Successfully updated environment", env, err)
}

func deleteEnvironment(x *exchange) (any, error) {
	env, err := x.h.cfg.Service.DeleteEnvironment(x.r.Context(), x.caller, x.project(), x.params["environment"])
	return environmentAnswer("Successfully deleted environment", env, err)
}

func getEnvironment(x *exchange) (any, error) {
	env, err := x.h.cfg.Service.Environment(x.r.Context(), x.caller, x.params["environment"])
	return object{"environment": env}, err
}

func getEnvironmentBySlug(x *exchange) (any, error) {
	env, err := x.h.cfg.Service.EnvironmentBySlug(x.r.Context(), x.caller, x.project(), x.params["slug"])
	return object{"environment": env}, err
}

func listTags(name string) func(*exchange) (any, error) {
	return func(x *exchange) (any, error) {
		all, err := x.h.cfg.Service.Tags(x.r.Context(), x.caller, x.project())
		return under(name, all), err
	}
}

func getTag(name string) func(*exchange) (any, error) {
	return func(x *exchange) (any, error) {
		tag, err := x.h.cfg.Service.Tag(x.r.Context(), x.caller, x.project(), x.params["tag"])
		return under(name, tag), err
	}
}

// createTag and updateTag differ in the parameter of their path alone.
var createTag, updateTag = setTag, setTag

func setTag(name string) func(*exchange) (any, error) {
	return func(x *exchange) (any, error) {
		var body struct {
			Slug  *string `json:"slug"`
			Color *string `json:"color"`
		}
		if err := x.body(&body); err != nil {
			return nil, err
		}
		tag, err := x.h.cfg.Service.SetTag(x.r.Context(), x.caller, x.project(), x.params["tag"], text(body.Slug), text(body.Color))
		return under(name, tag), err
	}
}

func deleteTag(name string) func(*exchange) (any, error) {
	return func(x *exchange) (any, error) {
		tag, err := x.h.cfg.Service.DeleteTag(x.r.Context(), x.caller, x.project(), x.params["tag"])
		return under(name, tag), err
	}
}
