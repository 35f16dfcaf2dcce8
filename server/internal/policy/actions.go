package policy

import (
	"math"

	"github.com/hanzoai/kms/internal/spelling"
)

// Action is one thing that a subject may be allowed to do.
type Action string

// The actions on secrets and folders, decided per environment, path and key.
const (
	DescribeSecret Action = "secrets:describe" // know that it exists: key, version, times, tags
	ReadSecret     Action = "secrets:read"     // its value and comment; implies DescribeSecret
	CreateSecret   Action = "secrets:create"
	EditSecret     Action = "secrets:edit"
	DeleteSecret   Action = "secrets:delete"
	ReadFolder     Action = "folders:read"
	CreateFolder   Action = "folders:create"
	EditFolder     Action = "folders:edit"
	DeleteFolder   Action = "folders:delete"
)

// The actions on a project as a whole.
const (
	ReadProject        Action = "project:read" // implied by any rule in the project
	EditProject        Action = "project:edit"
	DeleteProject      Action = "project:delete"
	ManageEnvironments Action = "environments:manage"
	ManageTags         Action = "tags:manage"
	ReadMembers        Action = "members:read"
	ManageMembers      Action = "members:manage"
	ReadRoles          Action = "roles:read"
	ManageRoles        Action = "roles:manage"
	ReadAudit          Action = "audit:read"
)

// The actions on an organisation.
const (
	ReadOrg          Action = "organization:read"
	EditOrg          Action = "organization:edit"
	CreateProject    Action = "projects:create"
	ReadIdentities   Action = "identities:read"
	ManageIdentities Action = "identities:manage"
	ReadOrgMembers   Action = "organization-members:read"
	ManageOrgMembers Action = "organization-members:manage"
	ReadOrgAudit     Action = "organization-audit:read"
)

// FolderActions are the actions on secrets and folders, in the order in which
// people read them.
func FolderActions() []Action {
	return []Action{
		DescribeSecret, ReadSecret, CreateSecret, EditSecret, DeleteSecret,
		ReadFolder, CreateFolder, EditFolder, DeleteFolder,
	}
}

// ProjectActions are the actions on a project as a whole.
func ProjectActions() []Action {
	return []Action{
		ReadProject, EditProject, DeleteProject, ManageEnvironments, ManageTags,
		ReadMembers, ManageMembers, ReadRoles, ManageRoles, ReadAudit,
	}
}

// onFolder and onProject are switches and not searches in the lists above,
// because one runs for every secret of every list.
func onFolder(action Action) bool {
	switch action {
	case DescribeSecret, ReadSecret, CreateSecret, EditSecret, DeleteSecret,
		ReadFolder, CreateFolder, EditFolder, DeleteFolder:
		return true
	}
	return false
}

func onProject(action Action) bool {
	switch action {
	case ReadProject, EditProject, DeleteProject, ManageEnvironments, ManageTags,
		ReadMembers, ManageMembers, ReadRoles, ManageRoles, ReadAudit:
		return true
	}
	return false
}

// nearest is the action of a project role that is spelled most like s.
func nearest(s string) Action {
	best, distance := DescribeSecret, math.MaxInt
	for _, action := range append(FolderActions(), ProjectActions()...) {
		if d := spelling.Distance(s, string(action)); d < distance {
			best, distance = action, d
		}
	}
	return best
}
