package config

import (
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"
)

// Version is the version of the format that this package reads and writes.
const Version = 1

// PollFloor is the shortest PollInterval.
const PollFloor = time.Second

// Config is what an agent does: where from, what, where to, and whom to tell.
// A field that is left out, or is "", has its default.
type Config struct {
	// Version is the version of this format: 1. It must be given.
	Version int `json:"version"`

	// Server is the address of the KMS.
	Server string `json:"server,omitempty" default:"https://kms.hanzo.ai"`

	// CAFile is a PEM file of the authorities that vouch for the server,
	// instead of the system's. It is read again when it changes.
	CAFile string `json:"caFile,omitempty"`

	// TLSServerName is the name that the server's certificate must have, where
	// it is not the host of the address.
	TLSServerName string `json:"tlsServerName,omitempty"`

	// Proxy is the proxy to reach the server through, such as
	// "http://proxy:3128". Without it HTTPS_PROXY, HTTP_PROXY and NO_PROXY
	// hold.
	Proxy string `json:"proxy,omitempty"`

	// Credentials are the files to log in with. Without them the agent takes
	// KMS_CLIENT_ID and KMS_CLIENT_SECRET from its environment, which suits a
	// container on its own and not a pod.
	Credentials Credentials `json:"credentials,omitzero"`

	// Sources are the secrets that make up the set: one or more, and none where
	// exec.file is given. A name that two of them deliver is an error.
	Sources []Source `json:"sources,omitempty"`

	// Directory is where the set lies. It is on a tmpfs, and the agent's
	// alone.
	Directory string `json:"directory,omitempty" default:"/kms/secrets"`

	// Outputs are the files of the set. Without it there is one file per key;
	// under "kms-agent exec" there is none.
	Outputs []Output `json:"outputs,omitempty"`

	// Mode is the permission of the files, in octal; directories get the
	// matching right to enter.
	Mode string `json:"mode,omitempty" default:"0400"`

	// GID is the group of the files. Without it they have the agent's.
	GID *int `json:"gid,omitempty"`

	// WriteMode is how a file gets its new content. Under "symlink" DIR/KEY is
	// a link into the current generation, and all files change at once. Under
	// "rename" DIR/KEY is a regular file, replaced by a rename of its own, for
	// programs that watch a file or do not follow links; those that open
	// DIR/..data still see all files change at once.
	WriteMode string `json:"writeMode,omitempty" default:"symlink" enum:"symlink,rename"`

	// Previous offers the generation before the current one as DIR/previous,
	// for applications that need both for a while. It stays until the next
	// change.
	Previous bool `json:"previous,omitempty"`

	// MaxSize is the most that all files together may hold, from "64KiB" to
	// "256MiB". A larger set is refused and the last good one stays. The memory
	// limit of the container should be 16 MiB and eight times this.
	MaxSize string `json:"maxSize,omitempty" default:"4MiB"`

	// AllowDisk lets the directory lie on something else than a tmpfs: values
	// may then outlive the pod on a disk.
	AllowDisk bool `json:"allowDisk,omitempty"`

	// PollInterval is how often the agent asks for changes, from 1s to 24h.
	// Each wait differs from it by up to a tenth.
	PollInterval string `json:"pollInterval,omitempty" default:"60s"`

	// OnRevoked is what happens when the server says, twice in a row, that the
	// identity may not read the secrets any more: "keep" the files, "delete"
	// them, or "exit" and keep them. An outage is never a revocation.
	OnRevoked string `json:"onRevoked,omitempty" default:"keep" enum:"keep,delete,exit"`

	// Notify says whom to tell of a change. Each is told on its own, and again
	// with growing pauses until it works. Without it nobody is told.
	Notify []Target `json:"notify,omitempty"`

	// Debounce is how long nothing more must change before anybody is told, up
	// to 1m.
	Debounce string `json:"debounce,omitempty" default:"250ms"`

	// Splay is the longest random delay before anybody is told, up to 24h. It
	// keeps many replicas from reloading at the same moment.
	Splay string `json:"splay,omitempty" default:"0s"`

	// Exec is how "kms-agent exec" treats its command.
	Exec Exec `json:"exec,omitzero"`

	// Fallback is what an application starts from while the server is away.
	Fallback Fallback `json:"fallback,omitzero"`

	// Report is whom to tell how the agent is doing.
	Report Report `json:"report,omitzero"`

	// Listen is the address of /healthz, /readyz, /startupz and /metrics, such
	// as ":9092". Without it they are on the socket DIR/..agent.sock only,
	// where "kms-agent health" asks; "kms-agent exec" has no socket.
	Listen string `json:"listen,omitempty"`

	// TerminationLog is a file that gets the reason when the agent ends with
	// an error, if it exists already.
	TerminationLog string `json:"terminationLog,omitempty" default:"/dev/termination-log"`
}

// Credentials are the files of a Universal Auth login. Both are read at each
// login, as a pair; white space around their content is dropped. When they
// change the agent logs in anew, and its token before serves until that works.
type Credentials struct {
	// ClientIDFile is the file of the client id.
	ClientIDFile string `json:"clientIdFile,omitempty"`

	// ClientSecretFile is the file of the client secret.
	ClientSecretFile string `json:"clientSecretFile,omitempty"`

	// RevokeOnExit ends the access token at the server when the agent ends.
	RevokeOnExit bool `json:"revokeOnExit,omitempty"`
}

// Source is one folder of secrets, or some keys of it.
type Source struct {
	// Project is the project's slug or id.
	Project string `json:"project"`

	// Environment is the environment's slug.
	Environment string `json:"environment"`

	// Path is the folder.
	Path string `json:"path,omitempty" default:"/"`

	// Recursive takes the folders below it too.
	Recursive bool `json:"recursive,omitempty"`

	// Keys are the keys to read, each on its own, so that an identity needs no
	// right to the others. Without it all keys are read.
	Keys []string `json:"keys,omitempty"`

	// Rename gives keys another name in the set: {"KEY": "name"}.
	Rename map[string]string `json:"rename,omitempty"`

	// Prefix is put before the names of all keys that are not renamed.
	Prefix string `json:"prefix,omitempty"`

	// ExpandReferences replaces references in values by what they refer to.
	// Without it they are replaced.
	ExpandReferences *bool `json:"expandReferences,omitempty"`
}

// Output is a file of the set, or one file per key.
type Output struct {
	// Format is the form of the file. "files" is one file per key with its
	// value as it is.
	Format string `json:"format,omitempty" default:"files" enum:"files,dotenv,json,yaml,properties,shell,template"`

	// File is the name of the file in the directory. All formats but "files"
	// need it.
	File string `json:"file,omitempty"`

	// Keys are the names that go in. Without it all do.
	Keys []string `json:"keys,omitempty"`

	// Base64 are the names whose values are base64 of what the file is to
	// hold, for binary content. It goes with "files".
	Base64 []string `json:"base64,omitempty"`

	// Template is the text of a template. The documentation of the agent lists
	// its functions.
	Template string `json:"template,omitempty"`

	// TemplateFile is a file with the template, read at each rendering.
	TemplateFile string `json:"templateFile,omitempty"`

	// Delimiters are the two marks around the actions of the template.
	// Without it they are "{{" and "}}".
	Delimiters []string `json:"delimiters,omitempty"`

	// Mode is the permission of this output, in octal. Without it that of the
	// set.
	Mode string `json:"mode,omitempty"`

	// GID is the group of this output. Without it that of the set.
	GID *int `json:"gid,omitempty"`

	// OnMissing is what happens when a key that is named here, in a source or
	// in the template is not there: "error" refuses the whole set, "empty"
	// takes an empty value, "keep" leaves this output as it is.
	OnMissing string `json:"onMissing,omitempty" default:"error" enum:"error,empty,keep"`
}

// Target is somebody to tell of a change: exactly one of PIDFile, Process,
// Wrapper, Command and URL.
type Target struct {
	// PIDFile is a file that holds the id of the process to signal. It is read
	// at the moment of each notification.
	PIDFile string `json:"pidFile,omitempty"`

	// Process is the name of the program to signal, in a pod whose containers
	// share their process namespace. Where a program of that name has started
	// others of it, only the first is signalled.
	Process string `json:"process,omitempty"`

	// Wrapper tells each "kms-agent exec" that follows this set. Its own
	// configuration says what it does then.
	Wrapper bool `json:"wrapper,omitempty"`

	// Command is a program with its arguments to run; no shell reads them.
	// Exit code 0 is success.
	Command []string `json:"command,omitempty"`

	// URL is an address on this host to POST to. A status below 300 is
	// success.
	URL string `json:"url,omitempty"`

	// Signal is the signal for PIDFile and Process. It goes with no other.
	Signal string `json:"signal,omitempty" default:"SIGHUP" with:"pidFile,process" enum:"SIGHUP,SIGUSR1,SIGUSR2,SIGINT,SIGQUIT,SIGTERM,SIGWINCH"`

	// Timeout is how long a Command, a URL or a Wrapper may take, from 1s to
	// 10m.
	Timeout string `json:"timeout,omitempty" default:"30s"`
}

// Exec is how "kms-agent exec" treats its command.
type Exec struct {
	// File is a JSON output in the directory, written by an agent beside this
	// one, to take the variables from: no network and no credential are needed
	// then, and there are neither sources nor credentials. Without it the
	// agent fetches the secrets for itself.
	File string `json:"file,omitempty"`

	// Keys are the names that become variables. Without it all do.
	Keys []string `json:"keys,omitempty"`

	// OnChange is what happens to the command when its variables change:
	// "restart" ends it and starts it with the new ones, "signal" sends it
	// Signal, "none" leaves it alone.
	OnChange string `json:"onChange,omitempty" default:"restart" enum:"restart,signal,none"`

	// Signal is what "signal" sends.
	Signal string `json:"signal,omitempty" default:"SIGHUP" enum:"SIGHUP,SIGUSR1,SIGUSR2,SIGINT,SIGQUIT,SIGTERM,SIGWINCH"`

	// StopSignal is what "restart" ends the command with.
	StopSignal string `json:"stopSignal,omitempty" default:"SIGTERM" enum:"SIGHUP,SIGUSR1,SIGUSR2,SIGINT,SIGQUIT,SIGTERM,SIGWINCH"`

	// Grace is how long the command may take to end before it is killed, up to
	// 1h.
	Grace string `json:"grace,omitempty" default:"30s"`
}

// Fallback is what an application starts from while the server is away. It is
// used once, by an agent that finds no set in its directory, and only if each
// try until then found no server, or one that answered 429 or 5xx: never after
// a refusal, or where something is not there. It is replaced as soon as the
// server answers.
type Fallback struct {
	// Directory holds one file per name in the set, such as a mounted Secret.
	// It may be missing or empty: there is no fallback then.
	Directory string `json:"directory,omitempty"`

	// After is how long the server is tried first, from 1s to 1h. The timeout
	// of "kms-agent init" and "kms-agent exec" ends that time too.
	After string `json:"after,omitempty" default:"30s" with:"directory"`
}

// Report is whom to tell how the agent is doing: reason and revision, when one
// of them has changed, and never a value. A report that is lost changes
// nothing.
type Report struct {
	// URL is the https address to POST to. No proxy is used and no redirect
	// followed.
	URL string `json:"url,omitempty"`

	// CA are the authorities that vouch for the address, as PEM, instead of the
	// system's.
	CA string `json:"ca,omitempty"`

	// TokenFile is the file of the token that says who reports. It is read at
	// each try.
	TokenFile string `json:"tokenFile,omitempty"`

	// Splay is the longest random delay before a report, up to 10m.
	Splay string `json:"splay,omitempty" default:"5s" with:"url"`
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

// Duration is a duration of a Config that was parsed, such as PollInterval.
func Duration(text string) time.Duration {
	d, _ := time.ParseDuration(text)
	return d
}

// Bytes is a size of a Config that was parsed, such as MaxSize: a whole number
// of B, KiB, MiB or GiB.
func Bytes(text string) int64 {
	digits := strings.TrimRight(text, "BKMGi")
	shift, known := map[string]int{"B": 0, "KiB": 10, "MiB": 20, "GiB": 30}[text[len(digits):]]
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || !known {
		return 0
	}
	return int64(n) << shift
}

// FileMode is a mode of a Config that was parsed, as permission bits.
func FileMode(octal string) fs.FileMode {
	bits, _ := strconv.ParseUint(octal, 8, 32)
	return fs.FileMode(bits) & fs.ModePerm
}
