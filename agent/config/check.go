package config

import (
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (c *Config) setDefaults() {
	setDefault(&c.Server, DefaultServer)
	setDefault(&c.Directory, DefaultDirectory)
	setDefault(&c.Mode, DefaultMode)
	setDefault(&c.PollInterval, DefaultPollInterval)
	for i := range c.Sources {
		setDefault(&c.Sources[i].Path, "/")
	}
	if c.Notify != nil {
		setDefault(&c.Notify.Signal, DefaultSignal)
	}
}

func setDefault(field *string, value string) {
	if *field == "" {
		*field = value
	}
}

// check gives all that is wrong with the values. reported says of a field that
// its form was wrong already, so that it is not reported a second time.
func (c *Config) check(reported func(path string) bool) (list []string) {
	must := func(good bool, path, want string) {
		if !good && !reported(path) {
			list = append(list, path+": "+want)
		}
	}
	if c.Version == 0 {
		must(false, "version", fmt.Sprintf("is missing: give %d", Version))
	}
	must(c.Version == 0 || c.Version == Version, "version", fmt.Sprintf("is one that this agent does not know: give %d, or a newer agent", Version))
	must(goodServer(c.Server), "server", "must be of the form https://host[:port], without a user name, a query or a fragment")
	must(c.CAFile == "" || filepath.IsAbs(c.CAFile), "caFile", absolute)
	must(filepath.IsAbs(c.Credentials.ClientIDFile), "credentials.clientIdFile", absolute)
	must(filepath.IsAbs(c.Credentials.ClientSecretFile), "credentials.clientSecretFile", absolute)
	must(len(c.Sources) > 0, "sources", "is missing or empty: give at least one {project, environment}")
	for i, s := range c.Sources {
		path := fmt.Sprintf("sources[%d]", i)
		must(s.Project != "", path+".project", "is missing: give the project's slug or id")
		must(s.Environment != "", path+".environment", "is missing: give the environment's slug")
		must(goodPath(s.Path), path+".path", "must be a folder such as /a/b, of letters, digits, '-' and '_'")
		must(!slices.ContainsFunc(c.Sources[:i], s.same), path, "is the same folder as one before it")
	}
	must(filepath.IsAbs(c.Directory) && filepath.Clean(c.Directory) != "/", "directory", "must be an absolute path below /")
	must(c.Dotenv == "" || IsFileName(c.Dotenv), "dotenv", "must be the name of a file in the directory: no '/', not \".\", and not beginning with \"..\"")
	must(c.FilePerKey() || c.Dotenv != "", "files", "is false and there is no dotenv: nothing would be written")
	must(goodMode(c.Mode), "mode", "must be octal such as 0400, 0440 or 0444: reading for the owner, and writing or running for nobody else")
	must(c.GID == nil || *c.GID >= 0, "gid", "must not be negative")
	interval, err := time.ParseDuration(c.PollInterval)
	must(err == nil && interval >= PollFloor && interval <= 24*time.Hour, "pollInterval", "must be a duration such as 60s or 5m, from 1s to 24h")
	if c.Notify != nil {
		must(filepath.IsAbs(c.Notify.PIDFile), "notify.pidFile", absolute)
		must(slices.Contains(signals, c.Notify.Signal), "notify.signal", "must be one of "+strings.Join(signals, ", "))
	}
	return list
}

const absolute = "must be an absolute path"

var signals = []string{"SIGHUP", "SIGUSR1", "SIGUSR2", "SIGINT", "SIGQUIT", "SIGTERM", "SIGWINCH"}

// same reports whether two sources name the same folder.
func (s Source) same(other Source) bool {
	return s.Project == other.Project && s.Environment == other.Environment && strings.Trim(s.Path, "/") == strings.Trim(other.Path, "/")
}

func goodServer(server string) bool {
	u, err := url.Parse(server)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil && u.RawQuery == "" && u.Fragment == ""
}

// goodPath is the server's rule, so that a slip shows before the first call.
func goodPath(path string) bool {
	trimmed := strings.TrimSuffix(strings.TrimPrefix(path, "/"), "/")
	if trimmed == "" {
		return path != ""
	}
	for name := range strings.SplitSeq(trimmed, "/") {
		if name == "" || len(name) > 255 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") != "" {
			return false
		}
	}
	return true
}

// goodMode keeps the files from being written by others or run by anybody.
func goodMode(mode string) bool {
	bits, err := strconv.ParseUint(mode, 8, 32)
	return err == nil && bits&^0o644 == 0 && bits&0o400 != 0
}

// IsFileName reports whether a file of that name can lie in the directory of a
// set: it is one path element, and not one of those that begin with "..",
// which the layout of the set is made of.
func IsFileName(name string) bool {
	return name != "" && name != "." && len(name) <= 255 && !strings.HasPrefix(name, "..") && !strings.ContainsAny(name, "/\x00")
}
