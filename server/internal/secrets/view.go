package secrets

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/internal/policy"
	"github.com/hanzoai/kms/server/internal/seal"
	"github.com/hanzoai/kms/server/internal/store"
)

// A view is what one request shows, resolved but not opened: which version of
// which secret, from where, after policy. Its ETag is made from it and so
// answers "did anything change?" without opening a value. The values are
// opened once the audit row that names them is committed.
type view struct {
	reach
	asked   string // the environment's slug as it was asked
	items   []*item
	options viewOptions
	refs    map[string]*target // by version id and text, of all references in it
}

// viewOptions is what a client may ask of a view.
type viewOptions struct {
	values    bool // show values, not only names
	expand    bool // replace ${...} by what it names
	recursive bool
	kind      string // what is shown: list, compact list or one secret
	bare      bool   // open neither comments nor metadata
}

// item is one secret of a view.
type item struct {
	env    *environment
	folder *folder
	row    *store.SecretRow // the cache's: not to be changed
	hidden bool             // its value is not shown to this caller
	old    bool             // not the current version

	verified *atomic.Bool // of a row of the cache, see contents
}

// add puts a row into the view as far as policy lets the caller see it.
func (v *view) add(c *call, env *environment, f *folder, all *contents, n int) error {
	row := &all.rows[n]
	at := policy.Target{Environment: env.policy, Path: f.path, Key: row.Secret.Key}
	if !v.access.Allows(policy.DescribeSecret, at) {
		return nil
	}
	readable := v.access.Allows(policy.ReadSecret, at)
	if v.options.values && !readable && !v.access.Person {
		// An identity that got a part would write the part into an application.
		return api.Errorf(api.ErrDenied, "You are not allowed to %s on '%s' in %s of %s: a machine identity gets all values of a list or none; ask with viewSecretValue=false for the names",
			policy.ReadSecret, row.Secret.Key, f.path, env.Slug)
	}
	v.items = append(v.items, &item{env: env, folder: f, row: row, hidden: !readable || !v.options.values, verified: &all.verified[n]})
	return nil
}

// disclosed lists the secrets whose values the view shows, those that it
// refers to included, in a fixed order.
func (v *view) disclosed() []store.ManifestItem {
	var all []store.ManifestItem
	for _, i := range v.items {
		if !i.hidden {
			all = append(all, store.ManifestItem{Environment: i.env.Slug, Path: i.folder.path, Key: i.row.Secret.Key, Version: i.row.Version.Version})
		}
	}
	own := len(all)
	for _, id := range sortedKeys(v.refs) {
		if t := v.refs[id]; t.item != nil {
			i := t.item
			all = append(all, store.ManifestItem{Environment: i.env.Slug, Path: i.folder.path, Key: i.row.Secret.Key, Version: i.row.Version.Version})
		}
	}
	if len(all) > own {
		all = slices.Compact(all)
	}
	return all
}

// wireFormat is part of every ETag: raised when the same view is encoded into
// other bytes.
const wireFormat = 1

// etag is a strong ETag: a MAC over everything that the body is made of, names
// and version ids but no value. Version ids are never used twice, so no tag
// comes back, even from a database that was restored.
func (v *view) etag(key *seal.Key) string {
	b := make([]byte, 0, 256+256*len(v.items))
	b = strconv.AppendInt(b, wireFormat, 10)
	b = appendText(b, v.options.kind, v.ID, v.asked, strconv.FormatBool(v.options.values), strconv.FormatBool(v.options.expand), strconv.FormatBool(v.options.recursive))
	for _, i := range v.items {
		b = appendText(b, i.row.Secret.ID, i.row.Version.ID, i.row.Secret.Key, v.slug(i), i.folder.path, strconv.FormatBool(i.hidden))
		for _, id := range i.row.Version.Tags {
			if tag, ok := v.tags[id]; ok {
				b = appendText(b, tag.ID, tag.Slug, tag.Color)
			}
		}
	}
	for _, id := range sortedKeys(v.refs) {
		b = appendText(b, id)
		if t := v.refs[id]; t.item != nil {
			b = appendText(b, t.item.row.Version.ID)
		}
	}
	return `"` + base64.RawURLEncoding.EncodeToString(key.MAC("view", b)) + `"`
}

func appendText(b []byte, texts ...string) []byte {
	for _, text := range texts {
		b = binary.BigEndian.AppendUint32(b, uint32(len(text)))
		b = append(b, text...)
	}
	return b
}

// matches reports whether an If-None-Match header names the tag, in its strong
// or weak form.
func matches(header, tag string) bool {
	for one := range strings.SplitSeq(header, ",") {
		if one = strings.Trim(one, " \t"); one == "*" || one == tag || one == "W/"+tag {
			return true
		}
	}
	return false
}

// open gives the secrets of the view with their values.
func (s *Service) open(ctx context.Context, v *view) ([]api.Secret, error) {
	ring, err := s.keys.project(ctx, v.ID)
	if err != nil {
		return nil, err
	}
	o := opener{view: v, ring: ring.ring, done: map[string]expansion{}}
	all := make([]api.Secret, len(v.items))
	for n, i := range v.items {
		if all[n], err = o.secret(i); err != nil {
			return nil, s.broken(ctx, v, i, err)
		}
	}
	return all, nil
}

// opener opens the items of one view; values that several refer to, once.
type opener struct {
	view *view
	ring *seal.Keyring
	done map[string]expansion // by version id

	grown, followed int // bytes that references added so far, and how many were followed
}

// hiddenValue stands for a value that the caller may not read, as clients of
// this dialect know it.
const hiddenValue = "<hidden-by-infisical>"

func (o *opener) secret(i *item) (api.Secret, error) {
	h, ver := &i.row.Secret, &i.row.Version
	if !i.old {
		if err := o.verify(i); err != nil {
			return api.Secret{}, err
		}
	}
	out := api.Secret{ID: h.ID, OldID: h.ID, Workspace: o.view.ID, Environment: o.view.slug(i), Version: ver.Version, Type: "shared", SecretKey: h.Key,
		SecretPath: i.folder.path, SecretValueHidden: i.hidden, Tags: o.view.tagsOf(ver), SecretMetadata: []api.Metadata{},
		SkipMultilineEncoding: ver.SkipMultiline, CreatedAt: api.Micros(h.CreatedAt), UpdatedAt: api.Micros(ver.CreatedAt),
		Actor: &api.Actor{ActorID: ver.ActorID, ActorType: ver.ActorType, Name: ver.ActorName}}
	if i.old {
		out.SecretKey = ver.Key
	}
	if ver.ReminderNote != "" {
		out.ReminderNote = &ver.ReminderNote
	}
	if ver.ReminderDays != 0 {
		out.ReminderRepeatDays = &ver.ReminderDays
	}
	if i.hidden {
		out.SecretValue = api.NewValue(hiddenValue)
		return out, nil
	}
	return out, o.plaintext(i, &out)
}

// verify checks that an item is what its secret is at present. What is in the
// cache does not change, so once is enough there.
func (o *opener) verify(i *item) error {
	if i.verified != nil && i.verified.Load() {
		return nil
	}
	err := o.ring.VerifyHead(headOf(&i.row.Secret), i.row.Secret.HeadMAC)
	if err == nil && i.verified != nil {
		i.verified.Store(true)
	}
	return err
}

// slug is what the answer calls an item's environment: what was asked.
func (v *view) slug(i *item) string {
	if v.asked != "" && v.bySlug[v.asked] == i.env {
		return v.asked
	}
	return i.env.Slug
}

func (v *view) tagsOf(ver *store.SecretVersion) []api.Tag {
	tags := []api.Tag{}
	for _, id := range ver.Tags {
		if tag, ok := v.tags[id]; ok {
			tags = append(tags, wireTag(tag))
		}
	}
	return tags
}

func wireTag(tag store.Tag) api.Tag {
	wire := api.Tag{ID: tag.ID, Slug: tag.Slug, Name: tag.Slug}
	if tag.Color != "" {
		wire.Color = &tag.Color
	}
	return wire
}

func (o *opener) plaintext(i *item, out *api.Secret) error {
	value, err := o.value(i)
	if err != nil {
		return err
	}
	out.SecretValue = api.NewValue(value)
	if o.view.options.bare {
		return nil
	}
	if i.row.Version.Comment != nil {
		comment, err := o.ring.Open(i.row.Version.Comment, o.field(i, "comment"))
		if err != nil {
			return err
		}
		out.SecretComment = api.NewValue(string(comment))
	}
	if i.row.Version.Metadata != nil {
		metadata, err := o.ring.Open(i.row.Version.Metadata, o.field(i, "metadata"))
		if err != nil {
			return err
		}
		out.SecretMetadata, err = decodeMetadata(metadata)
		return err
	}
	return nil
}

// field is the place that a ciphertext of an item is bound to. The place of a
// value says whether a comment and metadata belong to it, so that neither can
// be taken away in the database.
func (o *opener) field(i *item, name string) seal.Field {
	if name == "value" && i.row.Version.Comment != nil {
		name += "+comment"
	}
	if strings.HasPrefix(name, "value") && i.row.Version.Metadata != nil {
		name += "+metadata"
	}
	return seal.Field{OrgID: o.view.OrganizationID, ProjectID: o.view.ID, EnvironmentID: i.env.ID, FolderID: i.folder.ID,
		SecretID: i.row.Secret.ID, Version: i.row.Version.Version, Name: name}
}

func headOf(h *store.Secret) seal.Head {
	return seal.Head{SecretID: h.ID, FolderID: h.FolderID, Key: h.Key, VersionID: h.VersionID, Version: h.Version}
}

// broken answers for a ciphertext that does not open: it was changed, moved or
// rolled back. The caller learns which secret, never what was found.
func (s *Service) broken(ctx context.Context, v *view, i *item, err error) error {
	if !errors.Is(err, seal.ErrIntegrity) && !errors.Is(err, seal.ErrUnknownKey) {
		return err
	}
	s.log.Error("integrity check failed", "err", err.Error(), "project", v.ID, "environment", i.env.ID, "secret", i.row.Secret.ID)
	s.keys.renew(v.ID) // in case it was a key version that this replica has not loaded yet
	return api.Errorf(api.ErrInternal, "The stored secret '%s' in %s of %s failed its integrity check: it was changed outside the server; restore it from a backup or set it anew",
		i.row.Secret.Key, i.folder.path, i.env.Slug)
}
