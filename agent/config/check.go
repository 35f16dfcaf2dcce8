package config

import (
	"fmt"
	"path/filepath"
	"time"
)

// check adds what is wrong with the values of a configuration that has its
// defaults.
func (p *problems) check(c Config) {
	p.must(c.Version != 0, "version", fmt.Sprintf("is missing: give %d", Version))
	p.must(c.Version == Version, "version", fmt.Sprintf("is one that this agent does not know: give %d, or a newer agent", Version))
	p.connection(c)
	p.exec(c)
	p.fallback(c.Fallback)
	p.report(c.Report)
	p.sources(c.Sources)
	p.set(c)
	p.outputs(c)
	p.notify(c.Notify)
	p.duration("pollInterval", c.PollInterval, "1s", "24h")
	p.duration("debounce", c.Debounce, "0s", "1m")
	p.duration("splay", c.Splay, "0s", "24h")
	p.must(c.Listen == "" || isListen(c.Listen), "listen", "must be of the form host:port or :port, with a port from 1 to 65535")
	p.must(filepath.IsAbs(c.TerminationLog), "terminationLog", absolute)
}

const absolute = "must be an absolute path"

func (p *problems) connection(c Config) {
	p.must(isServer(c.Server), "server", "must be of the form https://host[:port], without a user name, a query or a fragment")
	p.absolute("caFile", c.CAFile)
	p.must(c.Proxy == "" || isProxy(c.Proxy), "proxy",
		"must be of the form http://host:port or https://host:port, without a user name: an address with a password goes into HTTPS_PROXY")
	id, secret := c.Credentials.ClientIDFile, c.Credentials.ClientSecretFile
	p.must(id != "" || secret == "", "credentials.clientIdFile", "is missing: give both files, or neither")
	p.must(secret != "" || id == "", "credentials.clientSecretFile", "is missing: give both files, or neither")
	p.absolute("credentials.clientIdFile", id)
	p.absolute("credentials.clientSecretFile", secret)
}

// set is about the files as a whole.
func (p *problems) set(c Config) {
	p.must(filepath.IsAbs(c.Directory) && filepath.Clean(c.Directory) != "/", "directory", "must be an absolute path below /")
	p.permission("", c.Mode, c.GID)
	size := Bytes(c.MaxSize)
	p.must(size >= 64<<10 && size <= 256<<20, "maxSize", "must be a size such as 4MiB, in B, KiB, MiB or GiB, from 64KiB to 256MiB")
}

// exec says of a configuration with exec.file that the agent beside it is the
// one that fetches, writes and tells.
func (p *problems) exec(c Config) {
	p.duration("exec.grace", c.Exec.Grace, "0s", "1h")
	p.keys("exec.keys", c.Exec.Keys)
	if c.Exec.File == "" {
		p.must(len(c.Sources) > 0, "sources", "is missing: give at least one {project, environment}")
		return
	}
	const others = "cannot go with exec.file: it belongs to the agent that writes this file"
	p.must(IsFileName(c.Exec.File), "exec.file", fileName)
	p.must(c.Credentials == Credentials{}, "credentials", others)
	p.must(len(c.Sources) == 0, "sources", others)
	p.must(len(c.Outputs) == 0, "outputs", others)
	p.must(len(c.Notify) == 0, "notify", others)
	p.must(c.Fallback == Fallback{}, "fallback", others)
	p.must(c.Report == Report{}, "report", others)
	p.must(c.Listen == "", "listen", others)
}

func (p *problems) fallback(f Fallback) {
	p.absolute("fallback.directory", f.Directory)
	p.must(f.Directory != "" || f.After == "", "fallback.directory", "is missing: give the directory, or leave out after")
	if f.Directory != "" {
		p.duration("fallback.after", f.After, "1s", "1h")
	}
}

// keys checks a list of keys, or of names in the set, which have their form.
func (p *problems) keys(path string, keys []string) {
	list := make([]named, len(keys))
	for i, key := range keys {
		list[i] = named{fmt.Sprintf("%s[%d]", path, i), key}
		p.must(isKey(key), list[i].path, "must be a key: "+keyForm)
	}
	p.once(list, "is the same as %s")
}

func (p *problems) permission(path, mode string, gid *int) {
	p.must(mode == "" || isMode(mode), join(path, "mode"), "must be octal such as 0400, 0440 or 0444: reading for the owner, and writing or running for nobody else")
	p.must(gid == nil || *gid >= 0, join(path, "gid"), "must not be negative")
}

// absolute takes "" as well: the field is left out.
func (p *problems) absolute(path, file string) {
	p.must(file == "" || filepath.IsAbs(file), path, absolute)
}

func (p *problems) duration(path, text, least, most string) {
	d, err := time.ParseDuration(text)
	p.must(err == nil && d >= Duration(least) && d <= Duration(most), path,
		fmt.Sprintf("must be a duration such as 30s or 5m, from %s to %s", least, most))
}
