package deliver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/hanzoai/kms/agent/config"
	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/sdk"
)

// Secret is one secret of a set. Value is plaintext.
type Secret struct {
	Name  string // in the set: renamed, or with its prefix
	Value string
	Place string // for people
}

// Format prints name and place, never the value.
func (s Secret) Format(f fmt.State, verb rune) {
	fmt.Fprintf(f, "{%s of %s [redacted]}", s.Name, s.Place)
}

// Set is what all sources deliver.
type Set struct {
	Secrets []Secret // sorted by name, each name once
	Missing []string // names that the sources ask for by key and the server has not got
}

// Cursor remembers what was read: the tag of each request, in order. An
// absent key has the tag absent. A nil Cursor remembers nothing.
type Cursor []string

const absent = "absent"

// read is one request of the sources: a folder, or one key of it.
type read struct {
	source config.Source
	key    string // "" is the folder
}

func reads(sources []config.Source) (all []read) {
	for _, s := range sources {
		if len(s.Keys) == 0 {
			all = append(all, read{source: s})
		}
		for _, key := range s.Keys {
			all = append(all, read{s, key})
		}
	}
	return all
}

// Fetch asks the server whether anything changed since the cursor, and reads
// the whole set if so: all of it or none. changed is false where nothing did,
// and the set is empty then.
func Fetch(ctx context.Context, client *sdk.Client, sources []config.Source, last Cursor) (set Set, now Cursor, changed bool, err error) {
	all := reads(sources)
	if len(last) != len(all) {
		last = make(Cursor, len(all))
	}
	results := make([]sdk.Result, len(all))
	now = make(Cursor, len(all))
	for i, r := range all {
		if results[i], now[i], err = r.do(ctx, client, last[i]); err != nil {
			return Set{}, nil, false, err
		}
		changed = changed || now[i] == "" || now[i] != last[i]
	}
	if !changed {
		return Set{}, now, false, nil
	}
	// No value is kept for a day on which another source changes.
	for i, r := range all {
		if !results[i].NotModified {
			continue
		}
		if results[i], now[i], err = r.do(ctx, client, ""); err != nil {
			return Set{}, nil, false, err
		}
	}
	set, err = merge(all, results)
	return set, now, true, err
}

// do reads, if it changed since the tag.
func (r read) do(ctx context.Context, client *sdk.Client, tag string) (result sdk.Result, now string, err error) {
	if tag == absent {
		tag = ""
	}
	scope := sdk.Scope{Environment: r.source.Environment, SecretPath: r.source.Path}
	if api.IsID(r.source.Project) {
		scope.ProjectID = r.source.Project
	} else {
		scope.ProjectSlug = r.source.Project
	}
	if r.key != "" {
		result, err = client.GetIfChanged(ctx, scope, r.key, sdk.GetOptions{ExpandReferences: r.source.ExpandReferences, IncludeImports: true, IfNoneMatch: tag})
	} else {
		result, err = client.List(ctx, sdk.ListSecretsOptions{ProjectSlug: scope.ProjectSlug, ProjectID: scope.ProjectID, Environment: scope.Environment, SecretPath: scope.SecretPath,
			Recursive: r.source.Recursive, ExpandReferences: r.source.ExpandReferences, IncludeImports: true, Compact: true, IfNoneMatch: tag})
	}
	switch {
	case r.key != "" && isAbsence(err):
		return sdk.Result{}, absent, nil
	case err != nil:
		return sdk.Result{}, "", fmt.Errorf("read %s: %w", r.place(), err)
	}
	return result, result.ETag, r.refuseHidden(result)
}

// isAbsence reports whether the server itself said that the key is not there.
func isAbsence(err error) bool {
	var answer *api.Error
	return errors.Is(err, api.ErrNotFound) && errors.As(err, &answer) && fromServer(answer)
}

func (r read) place() string {
	folder := r.source.Project + " " + r.source.Environment + ":" + r.source.Path
	if r.key != "" {
		return folder + " key " + r.key
	}
	return folder
}

// refuseHidden makes a refusal of a value that was withheld: what stands in
// its place must not reach an application.
func (r read) refuseHidden(result sdk.Result) error {
	for _, s := range result.Secrets {
		if s.SecretValueHidden {
			return api.Errorf(api.ErrDenied, "read %s: the value of %q is hidden from this identity", r.place(), s.SecretKey)
		}
	}
	return nil
}

// merge is the set of all that was read. A name that occurs twice is an error
// that names both places: which value an application gets must not depend on
// an order.
func merge(all []read, results []sdk.Result) (set Set, err error) {
	for i, r := range all {
		place := r.place()
		for _, s := range results[i].Secrets {
			secret := Secret{Name: r.source.Name(s.SecretKey), Value: s.SecretValue, Place: place}
			if s.SecretPath != "" && s.SecretPath != r.source.Path {
				secret.Place += " (" + s.SecretPath + ")"
			}
			set.Secrets = append(set.Secrets, secret)
		}
	}
	slices.SortStableFunc(set.Secrets, compareNames)
	for i := 1; i < len(set.Secrets); i++ {
		if one, other := set.Secrets[i-1], set.Secrets[i]; one.Name == other.Name {
			return Set{}, badConfig("the name %q comes from %s and from %s: leave one out of the sources, or give one another name with rename or prefix", one.Name, one.Place, other.Place)
		}
	}
	set.Missing = missing(all, set.Secrets)
	// A set without any key is more likely a slip than a wish, and an
	// application that finds its files gone does not come back by itself.
	if len(set.Secrets) == 0 && len(set.Missing) == 0 {
		return Set{}, api.Errorf(api.ErrNotFound, "read %s: there is no secret in it", all[0].place())
	}
	return set, nil
}

func compareNames(a, b Secret) int { return cmp.Compare(a.Name, b.Name) }

// missing are the names that the reads ask for by key, and that are not among
// the secrets, which are sorted.
func missing(all []read, secrets []Secret) (list []string) {
	for _, r := range all {
		for _, name := range r.names() {
			if _, found := slices.BinarySearchFunc(secrets, Secret{Name: name}, compareNames); !found {
				list = append(list, name)
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// names are those of the set that the read asks for by key.
func (r read) names() (names []string) {
	if r.key != "" {
		return []string{r.source.Name(r.key)}
	}
	return slices.Collect(maps.Values(r.source.Rename))
}
