package deliver

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"syscall"
)

// state is what the agent knows of the set that lies in the directory, for the
// agent after it: with it a restart reads nothing that has not changed. It
// holds tags, no values.
type state struct {
	Version     int    `json:"version"`
	Generation  string `json:"generation"`
	Files       int    `json:"files"`       // of that generation
	Fingerprint string `json:"fingerprint"` // of the configuration and the templates
	Cursor      Cursor `json:"cursor"`
	Stale       bool   `json:"stale,omitempty"` // the set is the fallback
}

const (
	stateVersion = 1
	maxState     = 1 << 20
)

// loadState reads the state of the current generation; the zero state where
// there is none, or it is of another one.
func (d Dir) loadState() (s state) {
	root, err := d.open()
	if err != nil {
		return state{}
	}
	defer root.Close()
	data, err := readFile(root, stateFile, maxState)
	if err != nil || len(data) > maxState || json.Unmarshal(data, &s) != nil || s.Version != stateVersion {
		return state{}
	}
	if current, err := currentGeneration(root); err != nil || current != s.Generation {
		return state{}
	}
	return s
}

// isEmpty reports whether no generation lies in the directory, as at the first
// start of a pod.
func (d Dir) isEmpty() bool {
	root, _, _ := d.look()
	if root == nil {
		return true
	}
	root.Close()
	return false
}

// complete reports whether the set is there, as it was left: each file of it,
// and a name for it where applications look. It is asked at every poll, so it
// compares names, and no content.
func (d Dir) complete(s state) bool {
	root, err := os.OpenRoot(d.Path)
	if err != nil {
		return false
	}
	defer root.Close()
	files, err := names(root, s.Generation)
	if err != nil || s.Generation == "" || len(files) != s.Files || !leads(root, dataLink, s.Generation) {
		return false
	}
	all, err := names(root, ".")
	if err != nil {
		return false
	}
	there := make(map[string]bool, len(all))
	for _, name := range all {
		there[name] = true
	}
	for _, name := range files {
		if !there[name] {
			return false
		}
	}
	previous, _ := root.Readlink(previousLink)
	return !d.Previous || number(previous) == number(generationBefore(all, s.Generation))
}

// saveState writes the state. Without it the next agent reads everything
// again, so a failure is no fault of the set.
func (d Dir) saveState(s state) error {
	s.Version = stateVersion
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	root, err := d.open()
	if err != nil {
		return err
	}
	defer root.Close()
	root.Remove(stateFileTmp)
	file, err := root.OpenFile(stateFileTmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", stateFile, err)
	}
	_, err = file.Write(data)
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err == nil {
		d.did("fill " + stateFileTmp)
		err = root.Rename(stateFileTmp, stateFile)
	}
	if err != nil {
		root.Remove(stateFileTmp)
		return fmt.Errorf("write %s: %w", stateFile, err)
	}
	d.did("swap " + stateFile)
	return nil
}

// fingerprint stands for all that a rendering depends on beside the secrets: a
// cursor holds only where it is the same. It is asked for at every poll, so the
// configuration, which stays, is hashed once.
func (a *Agent) fingerprint() (string, error) {
	if a.configured == "" {
		text, err := json.Marshal(a.config)
		if err != nil {
			return "", err
		}
		a.configured = hexSum(text)
	}
	all := a.configured
	for _, o := range a.config.Outputs {
		if o.TemplateFile == "" {
			continue
		}
		text, err := os.ReadFile(o.TemplateFile)
		if err != nil {
			return "", badConfig("read the template of %s: %v", o.File, err)
		}
		all += hexSum(text)
	}
	return all, nil
}

func hexSum(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
