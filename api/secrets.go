package api

// Secret is one secret as GET, POST, PATCH and DELETE answer it (raw, v3 and
// v4). Its plaintext is of type Value, so that a Secret is never printed by
// accident; the server's encoder and the SDK's decoder reveal it.
type Secret struct {
	ID                    string     `json:"id"`
	OldID                 string     `json:"_id"` // the same id: older clients read it
	Workspace             string     `json:"workspace"`
	Environment           string     `json:"environment"` // slug
	Version               int64      `json:"version"`
	Type                  string     `json:"type"` // always "shared"
	SecretKey             string     `json:"secretKey"`
	SecretValue           Value      `json:"secretValue"`
	SecretComment         Value      `json:"secretComment"`
	SecretPath            string     `json:"secretPath"`
	SecretValueHidden     bool       `json:"secretValueHidden"`
	Tags                  []Tag      `json:"tags"`
	SecretMetadata        []Metadata `json:"secretMetadata"`
	SkipMultilineEncoding bool       `json:"skipMultilineEncoding"`
	ReminderNote          *string    `json:"secretReminderNote"`
	ReminderRepeatDays    *int64     `json:"secretReminderRepeatDays"`
	CreatedAt             Time       `json:"createdAt"`
	UpdatedAt             Time       `json:"updatedAt"`
	Actor                 *Actor     `json:"actor"`
	IsRotatedSecret       bool       `json:"isRotatedSecret"`
	RotationID            *string    `json:"rotationId"`
}

// Actor is who made a version of a secret.
type Actor struct {
	ActorID   string `json:"actorId"`
	ActorType string `json:"actorType"` // "identity" or "user"
	Name      string `json:"name"`
}

// Tag is a label of secrets within one project.
type Tag struct {
	ID    string  `json:"id"`
	Slug  string  `json:"slug"`
	Name  string  `json:"name"` // the slug
	Color *string `json:"color"`
}

// Metadata is one entry of a secret's metadata. Keys and values are plaintext
// and sealed at rest.
type Metadata struct {
	Key   Value `json:"key"`
	Value Value `json:"value"`
}

// SecretList answers a list: secrets sorted by path, then key, both by bytes.
type SecretList struct {
	Secrets []Secret `json:"secrets"`
	Imports []Import `json:"imports"` // never null
}

// Import is the block of secrets that a folder imports from another.
type Import struct {
	SecretPath  string   `json:"secretPath"`
	Environment string   `json:"environment"`
	FolderID    string   `json:"folderId,omitempty"`
	Secrets     []Secret `json:"secrets"`
}

// Folder is one folder of an environment.
type Folder struct {
	ID          string  `json:"id"`
	Name        string  `json:"name"` // "root" for the root of an environment
	EnvID       string  `json:"envId"`
	ParentID    *string `json:"parentId"` // null for the root
	IsReserved  bool    `json:"isReserved"`
	Version     int64   `json:"version"`
	Description *string `json:"description"`
	CreatedAt   Time    `json:"createdAt"`
	UpdatedAt   Time    `json:"updatedAt"`
	Path        string  `json:"path,omitempty"`
	// RelativePath is set in recursive lists only.
	RelativePath string `json:"relativePath,omitempty"`
	// Environment and ProjectID are set where one folder is asked by its id.
	Environment *FolderEnvironment `json:"environment,omitempty"`
	ProjectID   string             `json:"projectId,omitempty"`
}

// FolderEnvironment is the environment of a folder asked by its id.
type FolderEnvironment struct {
	EnvID   string `json:"envId"`
	EnvName string `json:"envName"`
	EnvSlug string `json:"envSlug"`
}
