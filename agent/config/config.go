package config

import (
	"io/fs"
	"os"
	"strconv"
	"time"
)

// Version is the version of the format that this package reads and writes.
const Version = 1

// Defaults of a Config.
const (
	DefaultServer       = "https://kms.hanzo.ai"
	DefaultDirectory    = "/kms/secrets"
	DefaultMode         = "0400"
	DefaultPollInterval = "60s"
	DefaultSignal       = "SIGHUP"

	// PollFloor is the shortest PollInterval.
	PollFloor = time.Second
)

// Config is what an agent does: where from, what, where to, and whom to tell.
// A field that is left out has its default.
type Config struct {
	// Version is the version of this format: 1. It must be given.
	Version int `json:"version"`

	// Server is the address of the KMS. Default: https://kms.hanzo.ai.
	Server string `json:"server,omitempty"`

	// CAFile is a PEM file of the authorities that vouch for the server,
	// instead of the system's. It is read again when it changes.
	CAFile string `json:"caFile,omitempty"`

	// TLSServerName is the name that the server's certificate must have, where
	// it is not the host of Server.
	TLSServerName string `json:"tlsServerName,omitempty"`

	// Credentials are the files to log in with. They must be given.
	Credentials Credentials `json:"credentials"`

	// Sources are the folders whose secrets make up the set: one or more. A
	// key that two of them deliver is an error.
	Sources []Source `json:"sources"`

	// Directory is where the set lies. It is on a tmpfs, and the agent's
	// alone. Default: /kms/secrets.
	Directory string `json:"directory,omitempty"`

	// Files writes one file per key, named like the key. Default: true.
	Files *bool `json:"files,omitempty"`

	// Dotenv is the name of a file in Directory that holds all keys as
	// KEY=value lines, such as ".env". Default: none.
	Dotenv string `json:"dotenv,omitempty"`

	// Mode is the permission of the files, in octal; directories get the
	// matching right to enter. Default: "0400".
	Mode string `json:"mode,omitempty"`

	// GID is the group of the files. Default: the agent's.
	GID *int `json:"gid,omitempty"`

	// AllowDisk lets Directory lie on something else than a tmpfs: values may
	// then outlive the pod on a disk.
	AllowDisk bool `json:"allowDisk,omitempty"`

	// PollInterval is how often the agent asks for changes, such as "60s", at
	// least "1s". Default: "60s".
	PollInterval string `json:"pollInterval,omitempty"`

	// Notify says whom to tell of a change. Default: nobody.
	Notify *Notify `json:"notify,omitempty"`
}

// Credentials are the files of a Universal Auth login. Both are read at each
// login, as a pair; white space around their content is dropped.
type Credentials struct {
	ClientIDFile     string `json:"clientIdFile"`
	ClientSecretFile string `json:"clientSecretFile"`
}

// Source is one folder of secrets.
type Source struct {
	// Project is the project's slug or id.
	Project string `json:"project"`

	// Environment is the environment's slug.
	Environment string `json:"environment"`

	// Path is the folder. Default: "/".
	Path string `json:"path,omitempty"`

	// Recursive takes the folders below it too.
	Recursive bool `json:"recursive,omitempty"`

	// ExpandReferences replaces references in values by what they refer to.
	// Default: true.
	ExpandReferences *bool `json:"expandReferences,omitempty"`
}

// Notify says how the application is told of a change.
type Notify struct {
	// PIDFile is the file that holds the application's process id. It is read
	// at the moment of each notification.
	PIDFile string `json:"pidFile"`

	// Signal is the signal: SIGHUP, SIGUSR1, SIGUSR2, SIGINT, SIGQUIT,
	// SIGTERM or SIGWINCH. Default: SIGHUP.
	Signal string `json:"signal,omitempty"`
}

// Load reads the configuration from the file, or, where file is "", from text,
// the content of KMS_AGENT_CONFIG.
func Load(file, text string) (Config, error) {
	switch {
	case file == "" && text == "":
		return Config{}, &Error{[]string{"there is no configuration: give -config FILE, or JSON in KMS_AGENT_CONFIG"}}
	case file == "":
		return Parse([]byte(text))
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return Config{}, &Error{[]string{"read the configuration: " + err.Error()}}
	}
	return Parse(data)
}

// Interval is PollInterval as a duration.
func (c Config) Interval() time.Duration {
	d, _ := time.ParseDuration(c.PollInterval)
	return d
}

// FileMode is Mode as permission bits.
func (c Config) FileMode() fs.FileMode {
	bits, _ := strconv.ParseUint(c.Mode, 8, 32)
	return fs.FileMode(bits) & fs.ModePerm
}

// FilePerKey is Files with its default.
func (c Config) FilePerKey() bool { return c.Files == nil || *c.Files }
