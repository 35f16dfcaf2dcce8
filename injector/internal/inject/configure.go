package inject

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/hanzoai/kms/agent/config"
)

// places are the annotations that parts of a configuration come from. The
// rules for values are the agent's own: they are applied here, and what they
// say about a part is said about its annotation.
type places map[string]string

// configure makes the configuration of the agent, and that of the wrapper of a
// command where there is one.
func (p *plan) configure() {
	p.places = places{}
	p.config = config.Config{Version: config.Version, Server: p.server()}
	p.config.Credentials = config.Credentials{ClientIDFile: authPath + "/clientId", ClientSecretFile: authPath + "/clientSecret"}
	if p.said("ca-secret") {
		p.config.CAFile = caPath + "/ca.crt"
	}
	p.setPlaced()
	p.config.Sources = p.sources()
	p.config.Outputs = p.outputs()
	p.checkKeys()
	p.size()
	if p.access.mode != "0400" {
		p.config.Mode = p.access.mode
	}
	if p.access.group != nil {
		p.config.GID = new(int(*p.access.group))
	}
	p.fallback()
	p.reporting()
	exec := p.notify()
	p.text = p.encode(p.config)
	if p.shape.installer {
		p.wrap = p.encode(config.Config{Version: config.Version, Directory: p.config.Directory, Exec: exec})
	}
}

// setPlaced takes over each value that has a place of its own.
func (p *plan) setPlaced() {
	for _, row := range table {
		if row.set != nil && p.said(row.Name) {
			row.set(&p.config, p.text1(row.Name))
			p.places[row.place] = p.label(row.Name)
		}
	}
}

// size divides the tmpfs among the generations: the current one, the one
// before, the one that is being written, and some room.
func (p *plan) size() {
	if p.said("size-limit") {
		limit := p.quantity("size-limit")
		p.config.MaxSize = binary(limit.Value() / 4)
		p.places["maxSize"] = p.label("size-limit")
		if limit.Value() < 256<<10 || limit.Value() > 1<<30 {
			p.refuse("size-limit", "must be from 256Ki to 1Gi")
			p.config.MaxSize = ""
		}
	}
}

// encode writes a configuration and has the agent's own reader look at it. It
// is for the environment of a container, where Kubernetes replaces "$(NAME)":
// no dollar sign stays in it.
func (p *plan) encode(c config.Config) string {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(c) // of texts and numbers, which always works
	text := strings.ReplaceAll(strings.TrimSpace(out.String()), "$", `\u0024`)
	_, err := config.Parse([]byte(text))
	var wrong *config.Error
	if errors.As(err, &wrong) {
		for _, problem := range wrong.Problems {
			p.translate(problem)
		}
	}
	return text
}

// translate reports what the agent's reader says. What it says about a part
// that no annotation made follows from something else, unless it is all.
func (p *plan) translate(problem string) {
	for _, place := range p.places.sorted() {
		if strings.HasPrefix(problem, place) {
			p.report(p.places[place], p.places.rename(problem))
			return
		}
	}
	if len(p.problems) == 0 {
		p.report(problem, "the annotations make a configuration that the agent refuses: "+problem)
	}
}

// sorted has longer places first, since they hold shorter ones.
func (p places) sorted() []string {
	return slices.SortedFunc(maps.Keys(p), func(a, b string) int {
		return cmp.Or(len(b)-len(a), strings.Compare(a, b))
	})
}

// rename puts the names of annotations for the places in a text.
func (p places) rename(problem string) string {
	for _, place := range p.sorted() {
		problem = replaceWord(problem, place, p[place])
	}
	return problem
}

// replaceWord leaves alone what is only a part of a longer name.
func replaceWord(text, word, by string) string {
	before, after, found := strings.Cut(text, word)
	if !found {
		return text
	}
	if isLetter(before, len(before)-1) || isLetter(after, 0) {
		return before + word + replaceWord(after, word, by)
	}
	return before + by + replaceWord(after, word, by)
}

func isLetter(text string, i int) bool {
	return i >= 0 && i < len(text) && (text[i]|0x20 >= 'a' && text[i]|0x20 <= 'z')
}

// binary is a size as the agent's configuration has it.
func binary(bytes int64) string {
	if bytes%(1<<20) == 0 {
		return strconv.FormatInt(bytes>>20, 10) + "MiB"
	}
	return strconv.FormatInt(bytes>>10, 10) + "KiB"
}
