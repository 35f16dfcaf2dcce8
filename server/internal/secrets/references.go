package secrets

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/internal/policy"
	"github.com/hanzoai/kms/server/internal/seal"
	"github.com/hanzoai/kms/server/internal/store"
)

// maxReferenceDepth bounds references to references.
const maxReferenceDepth = 10

// maxReferences bounds the references of one value.
const maxReferences = 100

// parseReferences finds the ${...} of a value, each text once. One name stands
// for a secret of the same folder; of several, joined by dots, the first is an
// environment, the last a key, those between folders. What has not that form
// is no reference.
func parseReferences(value string) ([]store.Reference, error) {
	var found []store.Reference
	seen := map[string]bool{}
	for rest := value; ; {
		start := strings.Index(rest, "${")
		if start < 0 {
			return found, nil
		}
		rest = rest[start+2:]
		end := strings.IndexByte(rest, '}')
		if end < 0 {
			return found, nil
		}
		text := rest[:end]
		ref, ok := parseReference(text)
		if !ok {
			continue // look for another start within, such as in ${a${B}
		}
		rest = rest[end+1:]
		if seen[text] {
			continue
		}
		seen[text] = true
		if found = append(found, ref); len(found) > maxReferences {
			return nil, api.Errorf(api.ErrInvalid, "the value has more than %d references", maxReferences)
		}
	}
}

func parseReference(text string) (store.Reference, bool) {
	names := strings.Split(text, ".")
	if len(text) > 1024 || len(names) > api.MaxFolderDepth+2 {
		return store.Reference{}, false
	}
	for _, name := range names {
		if _, err := api.ParseFolderName(name); err != nil { // letters, digits, '-', '_'
			return store.Reference{}, false
		}
	}
	ref := store.Reference{Text: text, Key: names[len(names)-1]}
	if len(names) > 1 {
		ref.Environment, ref.Path = names[0], "/"+strings.Join(names[1:len(names)-1], "/")
	}
	return ref, true
}

// target is what a reference leads to: an item, or nothing that is there.
type target struct{ item *item }

// refer resolves the references of all shown items of the view, and of what
// they refer to, to versions. Whoever may not read what a value refers to may
// not have the value: the whole request is refused.
func (c *call) refer(ctx context.Context, v *view) error {
	v.refs = map[string]*target{}
	for _, i := range v.items {
		if !i.hidden {
			if err := c.referFrom(ctx, v, i, 0); err != nil {
				return err
			}
		}
	}
	return nil
}

func refID(i *item, text string) string { return i.row.Version.ID + " " + text }

func (c *call) referFrom(ctx context.Context, v *view, i *item, depth int) error {
	for _, ref := range i.row.Version.Refs {
		id := refID(i, ref.Text)
		if _, done := v.refs[id]; done || depth == maxReferenceDepth {
			continue
		}
		found, err := c.follow(ctx, v, i, ref)
		if err != nil {
			return err
		}
		v.refs[id] = &target{found}
		if found == nil {
			continue
		}
		if err := c.referFrom(ctx, v, found, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// follow finds what a reference names, nil where there is nothing.
func (c *call) follow(ctx context.Context, v *view, from *item, ref store.Reference) (*item, error) {
	env, path := from.env, from.folder.path
	known := env.policy
	if ref.Environment != "" {
		path, env = ref.Path, v.bySlug[ref.Environment]
		known = policy.Environment{Slugs: []string{ref.Environment}}
		if env != nil {
			known = env.policy
		}
	}
	if !v.access.Allows(policy.ReadSecret, policy.Target{Environment: known, Path: path, Key: ref.Key}) {
		return nil, api.Errorf(api.ErrDenied, "Failed to expand one or more secret references: '%s' in %s refers to a secret that you are not allowed to read",
			from.row.Secret.Key, from.folder.path)
	}
	if env == nil {
		return nil, nil
	}
	t, err := c.loadTree(ctx, env.ID)
	if err != nil {
		return nil, err
	}
	f := t.byPath[path]
	if f == nil {
		return nil, nil
	}
	all, err := c.loadContents(ctx, f.ID)
	if err != nil {
		return nil, err
	}
	n, ok := all.byKey[ref.Key]
	if !ok {
		return nil, nil
	}
	return &item{env: env, folder: f, row: all.rows[n]}, nil
}

// value opens the value of an item and puts in what it refers to.
func (o *opener) value(i *item) (string, error) {
	return o.expand(i, nil)
}

// expand opens a value; above are the version ids on the way to it. A missing
// or empty target, one that leads back, and one too deep stay as written.
func (o *opener) expand(i *item, above []string) (string, error) {
	if done, ok := o.done[i.row.Version.ID]; ok {
		return done, nil
	}
	plain, err := o.ring.Open(i.row.Version.Value, o.field(i, "value"))
	if err != nil {
		return "", err
	}
	value := string(plain)
	if err := checkReferences(i, value); err != nil {
		return "", err
	}
	if !o.view.options.expand || len(i.row.Version.Refs) == 0 {
		return value, nil
	}
	above = append(above[:len(above):len(above)], i.row.Version.ID)
	pairs, complete, err := o.replacements(i, above)
	if err != nil {
		return "", err
	}
	expanded := strings.NewReplacer(pairs...).Replace(value)
	if expanded != value && i.row.Version.SkipMultiline && strings.Contains(expanded, "\n") {
		expanded = `"` + strings.ReplaceAll(expanded, "\n", `\n`) + `"`
	}
	if len(expanded) > maxExpanded {
		return "", api.Errorf(api.ErrTooLarge, "the value of '%s' in %s is larger than %d bytes with its references put in", i.row.Secret.Key, i.folder.path, maxExpanded)
	}
	if complete {
		o.done[i.row.Version.ID] = expanded
	}
	return expanded, nil
}

// checkReferences compares the references beside a ciphertext with those in
// the value: nothing else authenticates them.
func checkReferences(i *item, value string) error {
	found, err := parseReferences(value)
	if err == nil && !slices.Equal(found, i.row.Version.Refs) {
		err = fmt.Errorf("the references of secret %s are not those of its value: %w", i.row.Secret.ID, seal.ErrIntegrity)
	}
	return err
}

// maxExpanded bounds what references can make of a value: each level may
// multiply it.
const maxExpanded = 4 * api.MaxValue

// replacements are the texts to put in for the references of an item. They are
// complete unless a way led back, which depends on where it began.
func (o *opener) replacements(i *item, above []string) (pairs []string, complete bool, err error) {
	complete = true
	for _, ref := range i.row.Version.Refs {
		t := o.view.refs[refID(i, ref.Text)]
		if t == nil || t.item == nil {
			continue
		}
		if contains(above, t.item.row.Version.ID) || len(above) > maxReferenceDepth {
			complete = false
			continue
		}
		if err := o.ring.VerifyHead(headOf(&t.item.row.Secret), t.item.row.Secret.HeadMAC); err != nil {
			return nil, false, err
		}
		value, err := o.expand(t.item, above)
		if err != nil {
			return nil, false, err
		}
		if value != "" {
			pairs = append(pairs, "${"+ref.Text+"}", value)
		}
	}
	return pairs, complete, nil
}

func contains(list []string, text string) bool {
	for _, one := range list {
		if one == text {
			return true
		}
	}
	return false
}
