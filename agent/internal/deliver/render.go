package deliver

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/hanzoai/kms/agent/config"
	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/internal/format"
	"github.com/hanzoai/kms/internal/template"
)

// File is one file of a set. Data is plaintext.
type File struct {
	Name string
	Data []byte
	Mode fs.FileMode // 0: that of the directory's files
	GID  *int        // nil: that of the directory's files
	Keep bool        // it stays as it is, and Data is nothing
}

// Format prints the name, never the data.
func (f File) Format(s fmt.State, verb rune) { fmt.Fprintf(s, "{%s [redacted]}", f.Name) }

// Render makes the files of the outputs, sorted by name. limit bounds the
// bytes of all of them.
func Render(outputs []config.Output, set Set, limit int64) ([]File, error) {
	var files []File
	left := limit
	for _, output := range outputs {
		rendered, err := renderOutput(output, set, left)
		if err != nil {
			wipe(files)
			return nil, err
		}
		files = append(files, rendered...)
		for _, f := range rendered {
			left -= int64(len(f.Data))
		}
		if left < 0 {
			wipe(files)
			return nil, api.Errorf(api.ErrTooLarge, "render the files: together they have more than %d bytes: raise maxSize, or narrow the sources", limit)
		}
	}
	slices.SortFunc(files, func(a, b File) int { return cmp.Compare(a.Name, b.Name) })
	for i := 1; i < len(files); i++ {
		if files[i].Name == files[i-1].Name {
			wipe(files)
			return nil, badConfig("two files of the set would have the name %q: rename the key or the output's file", files[i].Name)
		}
	}
	return files, nil
}

// wipe clears the plaintext of files that are not needed any more.
func wipe(files []File) {
	for _, f := range files {
		clear(f.Data)
	}
}

func renderOutput(o config.Output, set Set, limit int64) ([]File, error) {
	secrets, missing := choose(o, set)
	if len(missing) > 0 && o.OnMissing == "error" {
		return nil, api.Errorf(api.ErrNotFound, "render %s: there is no secret %q: add it, or set onMissing to empty or keep", outputName(o), missing[0])
	}
	if o.Format == "files" {
		return filePerKey(o, secrets, missing)
	}
	f := File{Name: o.File, Mode: config.FileMode(o.Mode), GID: o.GID}
	if len(missing) > 0 && o.OnMissing == "keep" {
		f.Keep = true
		return []File{f}, nil
	}
	for _, name := range missing {
		secrets = append(secrets, format.Pair{Key: name})
	}
	slices.SortFunc(secrets, func(a, b format.Pair) int { return cmp.Compare(a.Key, b.Key) })
	var err error
	f.Data, err = renderText(o, secrets, limit)
	if o.OnMissing == "keep" && errors.Is(err, api.ErrNotFound) {
		f.Keep, err = true, nil
	}
	if err != nil {
		return nil, fmt.Errorf("render %s: %w", o.File, err)
	}
	return []File{f}, nil
}

func outputName(o config.Output) string {
	if o.File == "" {
		return o.Format
	}
	return o.File
}

// choose gives the secrets that go into the output, and the names that should
// and are not there.
func choose(o config.Output, set Set) (secrets []format.Pair, missing []string) {
	secrets = make([]format.Pair, 0, len(set.Secrets))
	for _, s := range set.Secrets {
		if len(o.Keys) == 0 || slices.Contains(o.Keys, s.Name) {
			secrets = append(secrets, format.Pair{Key: s.Name, Value: s.Value})
		}
	}
	if len(o.Keys) == 0 {
		return secrets, set.Missing // which is in no secret
	}
	for _, name := range o.Keys {
		if !slices.ContainsFunc(secrets, func(p format.Pair) bool { return p.Key == name }) {
			missing = append(missing, name)
		}
	}
	return secrets, missing
}

func filePerKey(o config.Output, secrets []format.Pair, missing []string) ([]File, error) {
	files := make([]File, 0, len(secrets)+len(missing))
	add := func(name string, data []byte, keep bool) error {
		if !config.IsFileName(name) {
			return badConfig("the key %q cannot be the name of a file: rename it, or choose the keys of the output", name)
		}
		files = append(files, File{Name: name, Data: data, Mode: config.FileMode(o.Mode), GID: o.GID, Keep: keep})
		return nil
	}
	for _, s := range secrets {
		data, err := decoded(o, s)
		if err != nil {
			return nil, err
		}
		if err := add(s.Key, data, false); err != nil {
			return nil, err
		}
	}
	for _, name := range missing {
		if err := add(name, []byte{}, o.OnMissing == "keep"); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// decoded is what the file of a secret holds.
func decoded(o config.Output, s format.Pair) ([]byte, error) {
	if !slices.Contains(o.Base64, s.Key) {
		return []byte(s.Value), nil
	}
	data, err := base64.StdEncoding.DecodeString(s.Value)
	if err != nil {
		return nil, badConfig("the value of %q is not base64: store it as standard base64, or take the key out of base64", s.Key)
	}
	return data, nil
}

func renderText(o config.Output, secrets []format.Pair, limit int64) ([]byte, error) {
	switch o.Format {
	case "dotenv":
		return format.Dotenv(secrets)
	case "json":
		return format.JSON(secrets)
	case "yaml":
		return format.YAML(secrets)
	case "properties":
		return format.Properties(secrets)
	case "shell":
		return format.Shell(secrets)
	case "template":
		return renderTemplate(o, secrets, limit)
	}
	return nil, badConfig("%q is no format", o.Format)
}

func renderTemplate(o config.Output, secrets []format.Pair, limit int64) ([]byte, error) {
	text := o.Template
	if o.TemplateFile != "" {
		data, err := os.ReadFile(o.TemplateFile)
		if err != nil {
			return nil, fmt.Errorf("read the template: %w", err)
		}
		text = string(data)
	}
	left, right := "", ""
	if len(o.Delimiters) == 2 {
		left, right = o.Delimiters[0], o.Delimiters[1]
	}
	t, err := template.Parse(o.File, text, left, right)
	if err != nil {
		return nil, err
	}
	values := make(map[string]string, len(secrets))
	for _, s := range secrets {
		values[s.Key] = s.Value
	}
	return t.Execute(values, o.OnMissing == "empty", int(limit))
}
