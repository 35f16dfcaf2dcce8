package deliver

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/hanzoai/kms/agent/config"
	"github.com/hanzoai/kms/sdk"
)

// File is one file of a set. Its Data is plaintext.
type File struct {
	Name string
	Data []byte
}

// Format prints the name, never the data.
func (f File) Format(s fmt.State, verb rune) { fmt.Fprintf(s, "{%s [redacted]}", f.Name) }

// Render makes the files of the configured outputs, sorted by name.
func Render(c config.Config, sources []Source) ([]File, error) {
	secrets, err := merge(sources)
	if err != nil {
		return nil, err
	}
	var files []File
	if c.FilePerKey() {
		if files, err = filePerKey(c, secrets); err != nil {
			return nil, err
		}
	}
	if c.Dotenv != "" {
		data, err := dotenv(secrets)
		if err != nil {
			return nil, err
		}
		files = append(files, File{c.Dotenv, data})
	}
	slices.SortFunc(files, func(a, b File) int { return cmp.Compare(a.Name, b.Name) })
	return files, nil
}

// merge is the secrets of all sources, sorted by key. A key that occurs twice
// is an error that names both places: which one an application gets must not
// depend on an order.
func merge(sources []Source) ([]sdk.Secret, error) {
	var secrets []sdk.Secret
	places := map[string]string{}
	for _, source := range sources {
		for _, s := range source.Secrets {
			place := source.Name + ":" + s.SecretPath
			if other, taken := places[s.SecretKey]; taken {
				return nil, badConfig("the key %q is in %s and in %s: leave one out of the sources, or rename it", s.SecretKey, other, place)
			}
			places[s.SecretKey] = place
			secrets = append(secrets, s)
		}
	}
	slices.SortFunc(secrets, func(a, b sdk.Secret) int { return cmp.Compare(a.SecretKey, b.SecretKey) })
	return secrets, nil
}

func filePerKey(c config.Config, secrets []sdk.Secret) ([]File, error) {
	files := make([]File, 0, len(secrets)+1)
	for _, s := range secrets {
		switch {
		case !config.IsFileName(s.SecretKey):
			return nil, badConfig("the key %q cannot be the name of a file: rename it, or set files to false", s.SecretKey)
		case s.SecretKey == c.Dotenv:
			return nil, badConfig("the key %q is the name of the dotenv file: rename one of them", s.SecretKey)
		}
		files = append(files, File{s.SecretKey, []byte(s.SecretValue)})
	}
	return files, nil
}
