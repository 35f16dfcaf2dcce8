package api

// Project is a project as the project routes answer it.
type Project struct {
	ID                     string        `json:"id"`
	OldID                  string        `json:"_id"` // the same id: older clients read it
	Name                   string        `json:"name"`
	Slug                   string        `json:"slug"`
	Description            *string       `json:"description"`
	Type                   string        `json:"type"` // always "secret-manager"
	OrgID                  string        `json:"orgId"`
	AutoCapitalization     bool          `json:"autoCapitalization"`
	HasDeleteProtection    bool          `json:"hasDeleteProtection"`
	PitVersionLimit        int           `json:"pitVersionLimit"`
	AuditLogsRetentionDays int           `json:"auditLogsRetentionDays"`
	Version                int           `json:"version"` // of the project format, always 3
	UpgradeStatus          *string       `json:"upgradeStatus"`
	SecretSharing          bool          `json:"secretSharing"`
	CreatedAt              Time          `json:"createdAt"`
	UpdatedAt              Time          `json:"updatedAt"`
	Environments           []Environment `json:"environments"`
}

// Environment is one environment of a project.
type Environment struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Slug        string `json:"slug"`
	Position    int64  `json:"position"`
	ProjectID   string `json:"projectId"`
	AccessLevel string `json:"accessLevel"` // AccessOpen or AccessRestricted
}

// The access levels of an environment: a ceiling on people, not on machine
// identities. In a restricted environment a person needs to be a project
// admin, or to have a custom role with a rule that names the environment.
const (
	AccessOpen       = "open"
	AccessRestricted = "restricted"
)

// Organization is a top-level boundary: nothing in one is visible from another.
type Organization struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Slug      string `json:"slug"`
	CreatedAt Time   `json:"createdAt"`
	UpdatedAt Time   `json:"updatedAt"`
}

// Role is a custom role of a project.
type Role struct {
	ID          string `json:"id"`
	ProjectID   string `json:"projectId"`
	Slug        string `json:"slug"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Rules       []Rule `json:"permissions"`
	CreatedAt   Time   `json:"createdAt"`
	UpdatedAt   Time   `json:"updatedAt"`
}

// Rule allows actions on the secrets and folders that all of its patterns
// match. An empty list of environments, paths or keys stands for all.
// Patterns: "*" matches any run of characters within one path segment, "**"
// any run at all, everything else itself; "/a/**" is /a and all below it.
//
// The actions on secrets and folders are secrets:describe, secrets:read,
// secrets:create, secrets:edit, secrets:delete, folders:read, folders:create,
// folders:edit and folders:delete. A rule without patterns may also carry
// actions on the project: project:edit, project:delete, environments:manage,
// tags:manage, members:read, members:manage, roles:read, roles:manage and
// audit:read.
type Rule struct {
	Actions      []string `json:"actions"`
	Environments []string `json:"environments,omitempty"` // slug patterns
	Paths        []string `json:"paths,omitempty"`        // path patterns, "/**" for all
	Keys         []string `json:"keys,omitempty"`         // key patterns
}

// Membership ties an identity or a person to a project with roles.
type Membership struct {
	ID        string           `json:"id"`
	ProjectID string           `json:"projectId"`
	ActorID   string           `json:"actorId"`
	ActorType string           `json:"actorType"` // "identity" or "user"
	Name      string           `json:"name"`
	Roles     []MembershipRole `json:"roles"`
	CreatedAt Time             `json:"createdAt"`
	UpdatedAt Time             `json:"updatedAt"`
}

// MembershipRole is one role of a membership: a built-in one ("admin",
// "member", "viewer", "no-access") or the slug of a custom one, for good or
// until a time.
type MembershipRole struct {
	Role        string `json:"role"`
	IsTemporary bool   `json:"isTemporary"`
	ExpiresAt   *Time  `json:"temporaryAccessEndTime,omitempty"`
}
