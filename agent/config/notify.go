package config

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
)

func (p *problems) notify(targets []Target) {
	var list []named
	for i, t := range targets {
		path := fmt.Sprintf("notify[%d]", i)
		p.target(path, t)
		text, _ := json.Marshal(t)
		list = append(list, named{path, string(text)})
	}
	p.once(list, "is the same as %s")
}

func (p *problems) target(path string, t Target) {
	p.must(t.kinds() == 1, path, "must be exactly one of pidFile, process, wrapper, command and url")
	p.absolute(path+".pidFile", t.PIDFile)
	p.must(!strings.ContainsAny(t.Process, "/\x00"), path+".process", "must be the name of a program without its folder: no '/'")
	p.must(t.Command == nil || isProgram(t.Command[0]), path+".command[0]", "must be a program: an absolute path, or a name without '/' that is looked up in PATH")
	p.must(t.URL == "" || isLocal(t.URL), path+".url",
		"must be an http or https address of this host, at localhost, 127.0.0.1 or [::1], without a user name")
	p.must(t.Signal == "" || t.PIDFile != "" || t.Process != "", path+".signal", "goes with pidFile and process only")
	p.duration(path+".timeout", t.Timeout, "1s", "10m")
}

func (t Target) kinds() (n int) {
	for _, given := range []bool{t.PIDFile != "", t.Process != "", t.Wrapper, t.Command != nil, t.URL != ""} {
		if given {
			n++
		}
	}
	return n
}

// isProgram refuses what would depend on the folder that the agent was started
// in.
func isProgram(name string) bool {
	return filepath.IsAbs(name) || name != "" && !strings.Contains(name, "/")
}
