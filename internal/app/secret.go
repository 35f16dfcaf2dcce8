package app

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/hanzoai/kms/api"
)

// Need says whether a program starts without a secret.
type Need bool

// What a secret can be.
const (
	Optional Need = false
	Required Need = true
)

// maxSecretFile bounds what a mistaken path (a log, /dev/zero) can cost.
const maxSecretFile = 1 << 20

// secret is one setting that must not be seen.
type secret struct {
	value *api.Value
	name  string
	need  Need
	usage string
}

// Secret defines a secret that is read from the environment variable name, or
// from the file that name_FILE names, less one trailing line end. It is never
// a flag: command lines are seen by every process of a machine. An empty
// variable counts as not set; both variables set, or an empty file, is an
// error, so that a lost secret never passes for one that was not wanted.
//
// After Parse both variables are gone from the environment, so the processes
// that this one starts do not inherit them. What that does not do:
// /proc/PID/environ of this very process shows the environment as it was at
// start, and copies stay in its memory. Against a reader of either only the
// file form helps, on a tmpfs with mode 0400.
func (f *Flags) Secret(p *api.Value, name string, need Need, usage string) {
	if !isSecretName(name) {
		panic(fmt.Sprintf("secret %s: a name is of A-Z, 0-9 and '_', starts with a letter and does not end in _FILE", name))
	}
	for _, s := range f.secrets {
		if s.name == name {
			panic(fmt.Sprintf("secret %s is defined twice", name))
		}
	}
	f.secrets = append(f.secrets, secret{value: p, name: name, need: need, usage: usage})
}

func isSecretName(name string) bool {
	for _, c := range name {
		if !(c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_') {
			return false
		}
	}
	return name != "" && name[0] >= 'A' && name[0] <= 'Z' && !strings.HasSuffix(name, "_FILE")
}

// read takes the secret from the environment or its file.
func (s secret) read(environ func(string) (string, bool)) error {
	plain, _ := environ(s.name)
	path, _ := environ(s.name + "_FILE")
	switch {
	case plain != "" && path != "":
		return fmt.Errorf("%s and %s_FILE are both set: set one of them", s.name, s.name)
	case path != "":
		return s.readFile(path)
	case plain != "":
		*s.value = api.NewValue(plain)
	case s.need == Required:
		return fmt.Errorf("%s is missing: set it, or set %s_FILE to the name of a file that holds it", s.name, s.name)
	}
	return nil
}

func (s secret) readFile(path string) error {
	plain, err := readSecretFile(path)
	if err != nil {
		return fmt.Errorf("%s_FILE: read %s: %w", s.name, showPath(path), err)
	}
	*s.value = api.NewValue(plain)
	return nil
}

// readSecretFile gives the content less one line end, which editors and echo
// add. More is not trimmed: a value is the bytes that it is. Its errors name
// no path and hold no content.
func readSecretFile(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", reason(err)
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxSecretFile+1))
	switch {
	case err != nil:
		return "", reason(err)
	case len(content) > maxSecretFile:
		return "", fmt.Errorf("it has more than %d bytes, which no secret has", maxSecretFile)
	}
	plain, cut := strings.CutSuffix(string(content), "\n")
	if cut {
		plain = strings.TrimSuffix(plain, "\r")
	}
	if plain == "" {
		return "", errors.New("it is empty")
	}
	return plain, nil
}

// reason is what the operating system said, without the path.
func reason(err error) error {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err
	}
	return errors.New("it cannot be read")
}

// showPath is the path for an error, unless it may be the secret itself, given
// in place of a file name: a key in base64 starts like a path one time in 64,
// but ends in '='.
func showPath(path string) string {
	isPath := filepath.IsAbs(path) || strings.HasPrefix(path, "./") || strings.HasPrefix(path, "../")
	if !isPath || strings.HasSuffix(path, "=") || strings.ContainsAny(path, "\r\n") {
		return "a file (its name is not shown, for it may be the secret itself: give an absolute path)"
	}
	return path
}

// forget removes the secrets' variables from the process.
func (f *Flags) forget() {
	for _, s := range f.secrets {
		os.Unsetenv(s.name)
		os.Unsetenv(s.name + "_FILE")
	}
}
