package httpapi

// routes is every route of the API. {project} is an id, or a slug where clients
// send one; what a route answers stands beside its handler.
var routes = []route{
	// Nobody needs to have logged in for these.
	{"GET", "/api/status", status},
	{"POST", "/api/v1/auth/universal-auth/login", login},
	{"POST", "/api/v1/auth/token/renew", renewToken},
	{"POST", "/api/v1/auth/token/revoke", revokeToken},
	{"POST", "/api/v3/auth/login", loginUser},
	{"POST", "/api/v1/password/set", setPassword},
	{"POST", "/api/v1/admin/bootstrap", bootstrap},
	{"POST", "/v1/kms/auth/login", login},

	// Secrets.
	{"GET", "/api/v3/secrets/raw", listSecrets},
	{"GET", "/api/v3/secrets/raw/{name}", getSecret},
	{"POST", "/api/v3/secrets/raw/{name}", createSecret},
	{"PATCH", "/api/v3/secrets/raw/{name}", updateSecret},
	{"DELETE", "/api/v3/secrets/raw/{name}", deleteSecret},
	{"GET", "/api/v3/secrets/raw/id/{secret}", getSecretByID},
	{"POST", "/api/v3/secrets/batch/raw", createSecrets},
	{"PATCH", "/api/v3/secrets/batch/raw", updateSecrets},
	{"DELETE", "/api/v3/secrets/batch/raw", deleteSecrets},
	{"GET", "/api/v4/secrets", listSecrets},
	{"GET", "/api/v4/secrets/{name}", getSecret},
	{"POST", "/api/v4/secrets/{name}", createSecret},
	{"PATCH", "/api/v4/secrets/{name}", updateSecret},
	{"DELETE", "/api/v4/secrets/{name}", deleteSecret},
	{"GET", "/api/v4/secrets/id/{secret}", getSecretByID},
	{"POST", "/api/v4/secrets/batch", createSecrets},
	{"PATCH", "/api/v4/secrets/batch", updateSecrets},
	{"DELETE", "/api/v4/secrets/batch", deleteSecrets},
	{"GET", "/api/v1/secret/{secret}/secret-versions", secretVersions},
	// Spellings of the same that are in use.
	{"GET", "/api/v3/secrets/list", listSecrets},
	{"GET", "/api/v1/secrets", listSecrets},
	{"GET", "/api/v1/secrets/raw", listSecrets},
	{"GET", "/api/v1/secrets/raw/{name}", getSecret},

	// Folders.
	{"GET", "/api/v1/folders", listFolders},
	{"POST", "/api/v1/folders", createFolder},
	{"GET", "/api/v1/folders/{folder}", getFolder},
	{"PATCH", "/api/v1/folders/{folder}", updateFolder},
	{"DELETE", "/api/v1/folders/{folder}", deleteFolderWithContents},
	{"GET", "/api/v2/folders", listFolders},
	{"POST", "/api/v2/folders", createFolder},
	{"GET", "/api/v2/folders/{folder}", getFolder},
	{"PATCH", "/api/v2/folders/{folder}", updateFolder},
	{"DELETE", "/api/v2/folders/{folder}", deleteFolder},

	// Projects. What is under /workspace is older and answers under other names.
	{"GET", "/api/v1/projects", listProjects("projects")},
	{"POST", "/api/v1/projects", createProject},
	{"GET", "/api/v1/projects/{project}", getProject("project")},
	{"PATCH", "/api/v1/projects/{project}", updateProject("project")},
	{"DELETE", "/api/v1/projects/{project}", deleteProject("project")},
	{"GET", "/api/v1/projects/slug/{project}", getProject("")},
	{"GET", "/api/v1/workspace", listProjects("workspaces")},
	{"GET", "/api/v1/workspace/{project}", getProject("workspace")},
	{"GET", "/api/v1/workspace/slug/{project}", getProject("")},
	{"POST", "/api/v2/workspace", createProject},
	{"GET", "/api/v2/workspace/{project}", getProject("")},
	{"PATCH", "/api/v2/workspace/{project}", updateProject("")},
	{"DELETE", "/api/v2/workspace/{project}", deleteProject("")},

	// Environments.
	{"GET", "/api/v1/workspace/{project}/environments", listEnvironments},
	{"POST", "/api/v1/workspace/{project}/environments", createEnvironment},
	{"PATCH", "/api/v1/workspace/{project}/environments/{environment}", updateEnvironment},
	{"DELETE", "/api/v1/workspace/{project}/environments/{environment}", deleteEnvironment},
	{"GET", "/api/v1/workspace/environments/{environment}", getEnvironment},
	{"GET", "/api/v1/projects/{project}/environments", listEnvironments},
	{"POST", "/api/v1/projects/{project}/environments", createEnvironment},
	{"PATCH", "/api/v1/projects/{project}/environments/{environment}", updateEnvironment},
	{"DELETE", "/api/v1/projects/{project}/environments/{environment}", deleteEnvironment},
	{"GET", "/api/v1/projects/{project}/environments/slug/{slug}", getEnvironmentBySlug},

	// Tags.
	{"GET", "/api/v1/projects/{project}/tags", listTags("tags")},
	{"POST", "/api/v1/projects/{project}/tags", createTag("tag")},
	{"GET", "/api/v1/projects/{project}/tags/{tag}", getTag("tag")},
	{"GET", "/api/v1/projects/{project}/tags/slug/{tag}", getTag("tag")},
	{"PATCH", "/api/v1/projects/{project}/tags/{tag}", updateTag("tag")},
	{"DELETE", "/api/v1/projects/{project}/tags/{tag}", deleteTag("tag")},
	{"GET", "/api/v1/workspace/{project}/tags", listTags("workspaceTags")},
	{"POST", "/api/v1/workspace/{project}/tags", createTag("workspaceTag")},
	{"GET", "/api/v1/workspace/{project}/tags/{tag}", getTag("workspaceTag")},
	{"GET", "/api/v1/workspace/{project}/tags/slug/{tag}", getTag("workspaceTag")},
	{"PATCH", "/api/v1/workspace/{project}/tags/{tag}", updateTag("workspaceTag")},
	{"DELETE", "/api/v1/workspace/{project}/tags/{tag}", deleteTag("workspaceTag")},

	// Members and roles of a project.
	{"GET", "/api/v2/workspace/{project}/identity-memberships", listIdentityMembers},
	{"GET", "/api/v2/workspace/{project}/identity-memberships/{identity}", getIdentityMember},
	{"POST", "/api/v2/workspace/{project}/identity-memberships/{identity}", addIdentityMember},
	{"PATCH", "/api/v2/workspace/{project}/identity-memberships/{identity}", updateIdentityMember},
	{"DELETE", "/api/v2/workspace/{project}/identity-memberships/{identity}", removeIdentityMember},
	{"GET", "/api/v1/workspace/{project}/memberships", listUserMembers},
	{"POST", "/api/v2/workspace/{project}/memberships", addUserMembers},
	{"PATCH", "/api/v1/workspace/{project}/memberships/{user}", updateUserMember},
	{"DELETE", "/api/v1/workspace/{project}/memberships/{user}", removeUserMember},
	{"GET", "/api/v1/workspace/{project}/roles", listRoles},
	{"POST", "/api/v1/workspace/{project}/roles", createRole},
	{"GET", "/api/v1/workspace/{project}/roles/slug/{role}", getRole},
	{"PATCH", "/api/v1/workspace/{project}/roles/{role}", updateRole},
	{"DELETE", "/api/v1/workspace/{project}/roles/{role}", deleteRole},

	// Machine identities and their credentials.
	{"GET", "/api/v1/identities", listIdentities},
	{"POST", "/api/v1/identities", createIdentity},
	{"GET", "/api/v1/identities/{identity}", getIdentity},
	{"PATCH", "/api/v1/identities/{identity}", updateIdentity},
	{"DELETE", "/api/v1/identities/{identity}", deleteIdentity},
	{"GET", "/api/v1/auth/universal-auth/identities/{identity}", getUniversalAuth},
	{"POST", "/api/v1/auth/universal-auth/identities/{identity}", attachUniversalAuth},
	{"PATCH", "/api/v1/auth/universal-auth/identities/{identity}", updateUniversalAuth},
	{"DELETE", "/api/v1/auth/universal-auth/identities/{identity}", detachUniversalAuth},
	{"GET", "/api/v1/auth/universal-auth/identities/{identity}/client-secrets", listClientSecrets},
	{"POST", "/api/v1/auth/universal-auth/identities/{identity}/client-secrets", createClientSecret},
	{"POST", "/api/v1/auth/universal-auth/identities/{identity}/client-secrets/regenerate", regenerateClientSecret},
	{"GET", "/api/v1/auth/universal-auth/identities/{identity}/client-secrets/{clientSecret}", getClientSecret},
	{"POST", "/api/v1/auth/universal-auth/identities/{identity}/client-secrets/{clientSecret}/revoke", revokeClientSecret},
	{"POST", "/api/v1/auth/universal-auth/identities/{identity}/clear-lockouts", clearLockouts},

	// Organisations and people.
	{"GET", "/api/v1/organization", listOrganizations},
	{"GET", "/api/v1/organization/{organization}/memberships", listOrganizationMembers},
	{"DELETE", "/api/v1/organization/{organization}/memberships/{user}", removeOrganizationMember},
	{"POST", "/api/v1/invite-org/signup", invite},
	{"GET", "/api/v1/user", getSelf},
	{"GET", "/api/v1/admin/organization-management/organizations", listAllOrganizations},
	{"POST", "/api/v1/admin/organization-management/organizations", createOrganization},

	// The audit trail.
	{"GET", "/api/v1/audit-logs", listAudit},
	{"GET", "/api/v1/organization/audit-logs", listAudit},
	{"GET", "/api/v1/workspace/{project}/audit-logs", listAudit},

	// The shapes of earlier servers of this name, over the same service. Where
	// an organisation is named, the first segment of the path is the project.
	{"GET", "/v1/kms/orgs/{organization}/secrets", aliasList},
	{"POST", "/v1/kms/orgs/{organization}/secrets", aliasCreate},
	{"GET", "/v1/kms/orgs/{organization}/secrets/{path...}", aliasGet},
	{"PATCH", "/v1/kms/orgs/{organization}/secrets/{path...}", aliasUpdate},
	{"DELETE", "/v1/kms/orgs/{organization}/secrets/{path...}", aliasDelete},
	{"GET", "/v1/kms/secrets", aliasFlat},
	{"GET", "/v1/kms/secrets/{path...}", aliasFlat},
}

// Route names one route of the table, for tests that must miss none.
type Route struct{ Method, Pattern string }

// Routes lists the table.
func Routes() []Route {
	all := make([]Route, len(routes))
	for i, r := range routes {
		all[i] = Route{r.method, r.pattern}
	}
	return all
}
