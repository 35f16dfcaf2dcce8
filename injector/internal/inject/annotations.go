package inject

import (
	"slices"
	"strconv"
	"strings"

	"github.com/hanzoai/kms/agent/config"
)

// Prefix begins the names of all annotations.
const Prefix = "kms.hanzo.ai/"

// Annotation is one thing that can be said about a pod.
type Annotation struct {
	// Name is without the prefix. That of an annotation for one output ends in
	// a hyphen, which the name of the output follows.
	Name string

	// Type is the form of the value.
	Type Type

	// Choices are the values of a Choice.
	Choices []string

	// Default is what holds if nobody says anything, "" for nothing.
	Default string

	// Doc says what it does.
	Doc string

	// place is where the value goes in the agent's configuration. That has the
	// rules for it; what breaks one is reported under this annotation's name.
	place string
	set   func(*config.Config, string)
	out   func(*config.Output, string)

	podOnly bool // neither a namespace nor a profile can say it
}

// Type is the form of the value of an annotation.
type Type string

// The forms of values.
const (
	Text     Type = "text"
	Flag     Type = "true or false"
	Choice   Type = "one of"
	List     Type = "list"
	Name     Type = "name"
	Number   Type = "whole number"
	Duration Type = "duration"
	Size     Type = "size"
)

// Group is the annotations about one thing.
type Group struct {
	Title       string
	Annotations []Annotation
}

// Groups is the table of all annotations, as people read it.
func Groups() []Group {
	return []Group{
		{"What", core}, {"Outputs", outputs}, {"Where", placement}, {"Variables", environment}, {"Changes", changes}, {"The agent", agent},
	}
}

// Annotations is the table of all annotations.
func Annotations() []Annotation { return slices.Clone(table) }

// Output tells that the annotation is about one output, whose name follows its
// own.
func (a Annotation) Output() bool { return strings.HasSuffix(a.Name, "-") }

// PodOnly tells that only the pod itself can say it.
func (a Annotation) PodOnly() bool { return a.podOnly }

var table = slices.Concat(core, outputs, placement, environment, changes, agent)

var core = []Annotation{
	{Name: "inject", Type: Choice, Choices: []string{"true", "false", "native", "init", "sidecar", "exec"}, podOnly: true,
		Doc: `Asks for injection. "true" is one native sidecar, or an init container and a sidecar where the cluster is too old for it; "native" insists on the former, "sidecar" on the latter. "init" writes the secrets once, before the application starts. "exec" is "true" with the secrets as environment variables too. "false" is the same as leaving it out.`},
	{Name: "project", Type: Text, Doc: "The slug or id of the project. It must be given."},
	{Name: "env", Type: Text, Doc: "The slug of the environment. It must be given."},
	{Name: "path", Type: List, Default: "/",
		Doc: `The folders to read, such as "/backend,/shared". Without it "/" is read, unless a "secret-" annotation names a folder itself.`},
	{Name: "recursive", Type: Flag, Default: "false", Doc: "Takes the folders below too."},
	{Name: "keys", Type: List,
		Doc: "The keys to read, each on its own, so that the identity needs no right to the others. Without it all keys are read."},
	{Name: "server", Type: Text, Default: "https://kms.hanzo.ai",
		Doc: "The address of the KMS, one of those that the injector allows. Without it the injector's own."},
	{Name: "ca-secret", Type: Text,
		Doc: `The Secret with the authorities that vouch for the server, as NAME or NAME/KEY; the key is "ca.crt" if none is given. Only the agent gets it.`},
	{Name: "auth-secret", Type: Name,
		Doc: "The Secret with the client id and client secret to log in with. It must be given. Only the agent gets it."},
	{Name: "auth-secret-keys", Type: List, Default: "id=clientId,secret=clientSecret", Doc: "The keys of that Secret."},
	{Name: "fallback-secret", Type: Name,
		Doc: `A Secret to start from while the server is away: its keys are the names of the files. It is used only if there are no secrets yet and for half of "init-timeout" no server answered, or one that was overloaded; never after a refusal, or where something is not there. The secrets take its place as soon as the server answers. It need not exist. Only the agent gets it.`},
	{Name: "profile", Type: Name,
		Doc: "A ConfigMap in the pod's namespace with defaults: its keys are the names of annotations without the prefix. The annotations of the pod come first, then those of its namespace, then the profile."},
}

var outputs = []Annotation{
	{Name: "secret-", Type: List,
		Doc: `The keys that go into this output, each as KEY, /folder/KEY or NAME=/folder/KEY: "/db/USER,/db/PASSWORD". A folder that is not read otherwise is read for these keys only. Without it all keys go in.`},
	{Name: "format-", Type: Choice, Choices: []string{"files", "dotenv", "json", "yaml", "properties", "shell", "template"}, Default: "files",
		place: "format", out: func(o *config.Output, v string) { o.Format = v },
		Doc: `The form: "files" is one file per key. With a template it is "template".`},
	{Name: "file-", Type: Text, place: "file", out: func(o *config.Output, v string) { o.File = v },
		Doc: "The name of the file, where the output has only one. Without it that of the output."},
	{Name: "template-", Type: Text, place: "template", out: func(o *config.Output, v string) { o.Template = v },
		Doc: "The text of a template."},
	{Name: "template-ref-", Type: Text,
		Doc: "The template as CONFIGMAP/KEY, in the pod's namespace. A change of it is followed."},
	{Name: "delims-", Type: Text, place: "delimiters", out: func(o *config.Output, v string) { o.Delimiters = strings.Fields(v) },
		Doc: `The two marks around the actions of the template: "[[ ]]" where Helm takes "{{ }}" for its own.`},
	{Name: "mode-", Type: Text, place: "mode", out: func(o *config.Output, v string) { o.Mode = v },
		Doc: "The permission of the files, in octal. Without it, the least that lets the application read them."},
	{Name: "on-missing-", Type: Choice, Choices: []string{"error", "empty", "keep"}, Default: "error",
		place: "onMissing", out: func(o *config.Output, v string) { o.OnMissing = v },
		Doc: `What happens when a key is not there: "error" refuses the whole set, "empty" takes an empty value, "keep" leaves this output as it is.`},
	{Name: "base64-", Type: List, place: "base64", out: func(o *config.Output, v string) { o.Base64 = split(v) },
		Doc: `The keys whose values are base64 of what the file is to hold, such as a keystore. It goes with the format "files".`},
}

var placement = []Annotation{
	{Name: "mount-path", Type: Text, Default: "/kms/secrets", place: "directory",
		set: func(c *config.Config, v string) { c.Directory = v }, Doc: "Where the containers find the files."},
	{Name: "containers", Type: List,
		Doc: "The containers that get the files. Without it all that the pod was created with, and none that others inject later."},
	{Name: "init-containers", Type: List,
		Doc: `The init containers that get the files, "none" for none. Without it all that the pod was created with and that run after the agent.`},
	{Name: "init-order", Type: Text, Default: "auto",
		Doc: `Where the agent stands among the init containers: "first", "last", "after=NAME", or "auto": first, but after the proxy of a service mesh that is a native sidecar.`},
	{Name: "size-limit", Type: Size, Default: "16Mi",
		Doc: "The size of the tmpfs. A set of secrets can be a quarter of it, since up to three generations lie there; it counts towards the memory limit of the agent, which grows with it."},
	{Name: "write-mode", Type: Choice, Choices: []string{"symlink", "rename"}, Default: "symlink", place: "writeMode",
		set: func(c *config.Config, v string) { c.WriteMode = v },
		Doc: `How a file gets its new content: "symlink" changes all files at once, "rename" is for programs that need regular files.`},
}

var environment = []Annotation{
	{Name: "env-mode", Type: Choice, Choices: []string{"off", "exec", "secret"}, Default: "off",
		Doc: `How secrets become environment variables. "exec", the default with inject "exec", runs the container's command through kms-agent; the container must name its command. "secret" adds all keys of the Secret of "env-secret".`},
	{Name: "env-keys", Type: List, Doc: `The keys that become variables under "exec". Without it all do.`},
	{Name: "env-containers", Type: List, Doc: "The containers that get the variables. Without it those that get the files."},
	{Name: "env-secret", Type: Name, Doc: `The Secret for the env-mode "secret", such as one that a KMSSecret keeps up to date.`},
	{Name: "env-prefix", Type: Text, Doc: `What stands before the names of variables under "secret".`},
}

var changes = []Annotation{
	{Name: "on-change", Type: Choice, Choices: []string{"none", "signal", "command", "http", "restart", "rollout"},
		Doc: `What happens after a change of the secrets. "restart" ends the command and starts it with the new variables, without a restart of the container; it needs inject "exec", whose default it is. "rollout" replaces all pods of the Deployment, StatefulSet or DaemonSet, at its own pace; it needs "report" and an injector that may do this, and stands on the pod itself. Otherwise the default is what "notify-url", "notify-command" or "signal-target" calls for, and "none" without them.`},
	{Name: "signal", Type: Text, Default: "HUP", Doc: "The signal to send: HUP, USR1, USR2, INT, QUIT, TERM or WINCH."},
	{Name: "signal-target", Type: Text,
		Doc: `Who gets the signal. "wrapper", the default with inject "exec", is the command that runs through kms-agent. "process:NAME" is a program by its name and "pidfile:PATH" one by a file with its id, on a volume of the pod; both need "share-process-namespace".`},
	{Name: "notify-url", Type: Text, Doc: `An address of the pod to POST to: "http://127.0.0.1:8080/-/reload".`},
	{Name: "notify-command", Type: Text,
		Doc: `A program to run in the agent's container, which needs an "agent-image" that has it. No shell reads it: it is split at spaces, or given as a JSON list.`},
	{Name: "debounce", Type: Duration, Default: "250ms", place: "debounce",
		set: func(c *config.Config, v string) { c.Debounce = v }, Doc: "How long nothing more must change before anybody is told."},
	{Name: "splay", Type: Duration, Default: "0s", place: "splay",
		set: func(c *config.Config, v string) { c.Splay = v }, Doc: "The longest random delay before anybody is told, so that many replicas do not reload at the same moment."},
	{Name: "grace", Type: Duration, Default: "30s", Doc: `How long the command may take to end on "restart" before it is killed.`},
	{Name: "previous", Type: Flag, Default: "false", place: "previous",
		set: func(c *config.Config, v string) { c.Previous = v == "true" }, Doc: "Offers the files before the last change too, in the folder previous."},
	{Name: "on-revoked", Type: Choice, Choices: []string{"keep", "delete", "exit"}, Default: "keep", place: "onRevoked",
		set: func(c *config.Config, v string) { c.OnRevoked = v },
		Doc: `What happens to the files when the identity may not read the secrets any more: "keep" or "delete" them, or "exit" and keep them.`},
	{Name: "readiness", Type: Flag, Default: "false",
		Doc: "Makes the pod ready only while the agent is: everything is in place and the server does not refuse. An outage of the server changes nothing."},
	{Name: "report", Type: Flag, Default: "false",
		Doc: `Makes the agent report to the injector how it is with the secrets, whenever that changes. The pod shows it as its condition kms.hanzo.ai/SecretsReady, and its owner gets Events of failures. No rights are given to the pod.`},
	{Name: "poll-interval", Type: Duration, Default: "60s", place: "pollInterval",
		set: func(c *config.Config, v string) { c.PollInterval = v }, Doc: "How often the agent asks for changes."},
	{Name: "init-timeout", Type: Duration, Default: "60s",
		Doc: "How long the first secrets may take, from 1s to 1h. After that the agent ends and is started anew; its last words are the reason."},
	{Name: "revoke-on-exit", Type: Flag, Default: "false", place: "credentials.revokeOnExit",
		set: func(c *config.Config, v string) { c.Credentials.RevokeOnExit = v == "true" }, Doc: "Ends the access token at the server when the agent ends."},
}

var agent = []Annotation{
	{Name: "agent-image", Type: Text, Doc: "The image of the agent. Without it the injector's."},
	{Name: "agent-requests-cpu", Type: Size, Default: "5m", Doc: "The CPU that the agent asks for."},
	{Name: "agent-requests-memory", Type: Size, Default: "16Mi", Doc: "The memory that the agent asks for."},
	{Name: "agent-limits-cpu", Type: Size, Doc: "The most CPU that the agent gets. Without it there is no limit, so that nothing is throttled."},
	{Name: "agent-limits-memory", Type: Size, Doc: `The most memory that the agent gets. Without it 16Mi and twice "size-limit": 48Mi.`},
	{Name: "run-as-user", Type: Number,
		Doc: "The user that the agent runs as. Without it the one that the application's containers name, or 65532."},
	{Name: "run-as-group", Type: Number, Doc: "The group that the agent runs as. Without it the one that the application's containers name, or 65532."},
	{Name: "share-process-namespace", Type: Flag, Default: "false",
		Doc: "Lets all containers of the pod see each other's processes, so that the agent can signal one. With inject \"exec\" a signal needs no such thing."},
	{Name: "log-level", Type: Choice, Choices: []string{"debug", "info", "warn", "error"}, Default: "info", Doc: "The least level of the agent's log."},
	{Name: "metrics-port", Type: Number, place: "listen", set: func(c *config.Config, v string) { c.Listen = ":" + v },
		Doc: "The port of the agent's /metrics, /healthz and /readyz. Without it there is none."},
	{Name: "proxy", Type: Text, place: "proxy", set: func(c *config.Config, v string) { c.Proxy = v },
		Doc: `The proxy to reach the server through: "http://proxy:3128".`},
	{Name: "tls-server-name", Type: Text, place: "tlsServerName", set: func(c *config.Config, v string) { c.TLSServerName = v },
		Doc: "The name that the server's certificate must have, where it is not the host of its address."},
	{Name: "status", Type: Text, podOnly: true, Doc: "Written by the injector: how the pod was injected. What you write there is replaced."},
	{Name: "revision", Type: Text, podOnly: true,
		Doc: "Written by the injector to the pod's template at each rollout. What you write there is replaced."},
}

// find is the row of a name, and the output that the name is about.
func find(name string) (row Annotation, output string, found bool) {
	for _, a := range table {
		if a.Name == name && !a.Output() {
			return a, "", true
		}
	}
	for _, a := range table {
		if rest, ok := strings.CutPrefix(name, a.Name); ok && a.Output() && len(a.Name) > len(row.Name) && rest != "" {
			row, output, found = a, rest, true
		}
	}
	return row, output, found
}

// split gives the elements of a list.
func split(text string) (list []string) {
	for element := range strings.SplitSeq(text, ",") {
		if element = strings.TrimSpace(element); element != "" {
			list = append(list, element)
		}
	}
	return list
}

func number(text string) int64 {
	n, _ := strconv.ParseInt(text, 10, 64)
	return n
}
