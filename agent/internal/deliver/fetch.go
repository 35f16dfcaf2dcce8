package deliver

import (
	"context"
	"fmt"

	"github.com/hanzoai/kms/agent/config"
	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/sdk"
)

// Source is one folder of secrets with what was last read of it.
type Source struct {
	Name    string // for people
	Options sdk.ListSecretsOptions
	Secrets []sdk.Secret
}

// NewSources makes the sources of a configuration, nothing read yet.
func NewSources(c config.Config) []Source {
	sources := make([]Source, len(c.Sources))
	for i, s := range c.Sources {
		options := sdk.ListSecretsOptions{
			Environment:      s.Environment,
			SecretPath:       s.Path,
			Recursive:        s.Recursive,
			ExpandReferences: s.ExpandReferences,
			IncludeImports:   true,
		}
		if api.IsID(s.Project) {
			options.ProjectID = s.Project
		} else {
			options.ProjectSlug = s.Project
		}
		sources[i] = Source{Name: s.Project + " " + s.Environment, Options: options}
	}
	return sources
}

// Fetch asks the server for what changed in the sources. It gives them as they
// are now, all or none: changed says whether any of them is new.
func Fetch(ctx context.Context, client *sdk.Client, sources []Source) (now []Source, changed bool, err error) {
	now = make([]Source, len(sources))
	total := 0
	for i, source := range sources {
		result, err := client.List(ctx, source.Options)
		if err != nil {
			return nil, false, fmt.Errorf("read %s: %w", source.place(), err)
		}
		if !result.NotModified {
			changed = true
			source.Secrets, source.Options.IfNoneMatch = result.Secrets, result.ETag
		}
		if err := refuseHidden(source); err != nil {
			return nil, false, err
		}
		now[i] = source
		total += len(source.Secrets)
	}
	// A set without any key is more likely a slip than a wish, and an
	// application that finds its files gone does not come back by itself.
	if total == 0 {
		return nil, false, api.Errorf(api.ErrNotFound, "read %s: there is no secret in it", sources[0].place())
	}
	return now, changed, nil
}

func (s Source) place() string { return s.Name + ":" + s.Options.SecretPath }

// refuseHidden makes a refusal of a value that was withheld: what stands in
// its place must not reach an application.
func refuseHidden(source Source) error {
	for _, s := range source.Secrets {
		if s.SecretValueHidden {
			return api.Errorf(api.ErrDenied, "read %s: the value of %q is hidden from this identity", source.place(), s.SecretKey)
		}
	}
	return nil
}
