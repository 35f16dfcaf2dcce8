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
//
// It goes level by level, so that what is near to one item of a list is not
// left out because another item led to it by a long way first.
func (c *call) refer(ctx context.Context, v *view) error {
	v.refs = map[string]*target{}
	var level []*item
	for _, i := range v.items {
		if !i.hidden {
			level = append(level, i)
		}
	}
	for range maxReferenceDepth {
		var next []*item
		for _, i := range level {
			found, err := c.referFrom(ctx, v, i)
			if err != nil {
				return err
			}
			next = append(next, found...)
		}
		level = next
	}
	return nil
}

func refID(i *item, text string) string { return i.row.Version.ID + " " + text }

// referFrom resolves the references of one item and gives the items they lead
// to, without those of references that were resolved before.
func (c *call) referFrom(ctx context.Context, v *view, i *item) (next []*item, err error) {
	for _, ref := range i.row.Version.Refs {
		id := refID(i, ref.Text)
		if _, done := v.refs[id]; done {
			continue
		}
		found, err := c.follow(ctx, v, i, ref)
		if err != nil {
			return nil, err
		}
		v.refs[id] = &target{found}
		if found != nil {
			next = append(next, found)
		}
	}
	return next, nil
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
	return &item{env: env, folder: f, row: &all.rows[n], verified: &all.verified[n]}, nil
}

// value opens the value of an item and puts in what it refers to.
func (o *opener) value(i *item) (string, error) {
	e, err := o.expand(i, nil)
	return e.value, err
}

// expansion is a value with what it refers to put in.
type expansion struct {
	value  string
	height int  // levels of references that were followed
	bound  bool // a way led back or too deep, so it depends on where that began
}

// expand opens a value; above are the version ids on the way to it. A missing
// or empty target, one that leads back, and one too deep stay as written.
func (o *opener) expand(i *item, above []string) (expansion, error) {
	if done, ok := o.done[i.row.Version.ID]; ok && len(above)+done.height <= maxReferenceDepth {
		return done, nil
	}
	if len(above) > 0 {
		if o.followed++; o.followed > maxFollowed {
			return expansion{}, api.Errorf(api.ErrTooLarge, "the references lead in too many ways, as they do where they lead back to each other: ask for single secrets, or with expandSecretReferences=false")
		}
	}
	plain, err := o.ring.Open(i.row.Version.Value, o.field(i, "value"))
	if err != nil {
		return expansion{}, err
	}
	e := expansion{value: string(plain)}
	if err := checkReferences(i, e.value); err != nil {
		return e, err
	}
	if !o.view.options.expand || len(i.row.Version.Refs) == 0 {
		if len(above) > 0 {
			o.done[i.row.Version.ID] = e // many may refer to it
		}
		return e, nil
	}
	above = append(above[:len(above):len(above)], i.row.Version.ID)
	pairs, err := o.replacements(i, above, &e)
	if err != nil {
		return e, err
	}
	if err := o.replace(i, pairs, &e); err != nil {
		return e, err
	}
	if !e.bound {
		o.done[i.row.Version.ID] = e
	}
	return e, nil
}

// replace puts the texts into the value, within what one value and one answer
// may become by that.
func (o *opener) replace(i *item, pairs []string, e *expansion) error {
	size := len(e.value)
	for n := 0; n < len(pairs); n += 2 { // before there is anything of that size
		size += strings.Count(e.value, pairs[n]) * (len(pairs[n+1]) - len(pairs[n]))
	}
	if size > maxExpanded {
		return api.Errorf(api.ErrTooLarge, "the value of '%s' in %s is larger than %d bytes with its references put in", i.row.Secret.Key, i.folder.path, maxExpanded)
	}
	if o.grown += max(0, size-len(e.value)); o.grown > maxGrown {
		return api.Errorf(api.ErrTooLarge, "the references add more than %d bytes to the answer: ask for single secrets, or with expandSecretReferences=false", maxGrown)
	}
	expanded := strings.NewReplacer(pairs...).Replace(e.value)
	if expanded != e.value && i.row.Version.SkipMultiline && strings.Contains(expanded, "\n") {
		expanded = `"` + strings.ReplaceAll(expanded, "\n", `\n`) + `"`
	}
	e.value = expanded
	return nil
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

const (
	// maxExpanded bounds what references can make of a value: each level may
	// multiply it.
	maxExpanded = 4 * api.MaxValue
	// maxGrown bounds what references can add to one answer: a short list may
	// put one large value in a thousand times.
	maxGrown = 32 << 20
	// maxFollowed bounds the values opened for references: those that lead
	// back are opened anew on each way, and the ways are as the factorial.
	maxFollowed = 20_000
)

// replacements are the texts to put in for the references of an item. It notes
// in e how deep they lead.
func (o *opener) replacements(i *item, above []string, e *expansion) (pairs []string, err error) {
	for _, ref := range i.row.Version.Refs {
		t := o.view.refs[refID(i, ref.Text)]
		if len(above) > maxReferenceDepth || t != nil && t.item != nil && slices.Contains(above, t.item.row.Version.ID) {
			e.bound = true
			continue
		}
		if t == nil || t.item == nil {
			continue
		}
		if err := o.verify(t.item); err != nil {
			return nil, err
		}
		below, err := o.expand(t.item, above)
		if err != nil {
			return nil, err
		}
		e.height, e.bound = max(e.height, below.height+1), e.bound || below.bound
		if below.value != "" {
			pairs = append(pairs, "${"+ref.Text+"}", below.value)
		}
	}
	return pairs, nil
}
