package secrets

import (
	"context"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/internal/audit"
	"github.com/hanzoai/kms/server/internal/policy"
	"github.com/hanzoai/kms/server/internal/store"
)

// Tags lists the tags of a project by slug.
func (s *Service) Tags(ctx context.Context, caller Caller, ref ProjectRef) (all []api.Tag, err error) {
	err = s.look(ctx, caller, event{audit.Read, "get-tags"}, func(ctx context.Context, c *call) error {
		all = []api.Tag{}
		r, err := c.project(ctx, ref)
		if err != nil {
			return err
		}
		for _, slug := range sortedKeys(r.tagsBySlug) {
			all = append(all, wireTag(r.tagsBySlug[slug]))
		}
		return nil
	})
	return all, err
}

// Tag gives one tag of a project, by id or slug.
func (s *Service) Tag(ctx context.Context, caller Caller, ref ProjectRef, idOrSlug string) (wire api.Tag, err error) {
	err = s.look(ctx, caller, event{audit.Read, "get-tag"}, func(ctx context.Context, c *call) error {
		r, err := c.project(ctx, ref)
		if err != nil {
			return err
		}
		tag, err := r.tag(idOrSlug)
		wire = wireTag(tag)
		return err
	})
	return wire, err
}

func (p *project) tag(idOrSlug string) (store.Tag, error) {
	if tag, ok := p.tags[idOrSlug]; ok {
		return tag, nil
	}
	if tag, ok := p.tagsBySlug[idOrSlug]; ok {
		return tag, nil
	}
	return store.Tag{}, api.Errorf(api.ErrNotFound, "Tag '%s' not found", named(idOrSlug))
}

// maxTags bounds the tags of one project.
const maxTags = 1000

// SetTag makes a tag (id empty) or changes one.
func (s *Service) SetTag(ctx context.Context, caller Caller, ref ProjectRef, id, slug, color string) (wire api.Tag, err error) {
	if _, err := api.ParseSlug("slug", slug); err != nil {
		return wire, err
	}
	if _, err := api.ParseText("color", color, 32); err != nil {
		return wire, err
	}
	ev := event{audit.Create, "create-tag"}
	if id != "" {
		ev = event{audit.Update, "update-tag"}
	}
	err = s.changeProject(ctx, caller, ev, ref, policy.ManageTags, func(ctx context.Context, c *call, tx *store.Tx, r reach) error {
		tag := store.Tag{ID: store.NewID(), ProjectID: r.ID, Slug: slug, Color: color, CreatedAt: c.now.UnixMicro()}
		if id != "" {
			old, err := r.tag(id)
			if err != nil {
				return err
			}
			tag.ID, tag.CreatedAt = old.ID, old.CreatedAt
		}
		if taken, ok := r.tagsBySlug[slug]; ok && taken.ID != tag.ID {
			return api.Errorf(api.ErrExists, "Tag with slug '%s' already exists", slug)
		}
		if id == "" && len(r.tags) >= maxTags {
			return api.Errorf(api.ErrInvalid, "the project has %d tags: one project has at most %d", len(r.tags), maxTags)
		}
		wire = wireTag(tag)
		return tx.SetTag(ctx, tag, c.now.UnixMicro())
	})
	return wire, err
}

// DeleteTag deletes a tag; secrets that carry it lose it.
func (s *Service) DeleteTag(ctx context.Context, caller Caller, ref ProjectRef, id string) (wire api.Tag, err error) {
	err = s.changeProject(ctx, caller, event{audit.Delete, "delete-tag"}, ref, policy.ManageTags, func(ctx context.Context, c *call, tx *store.Tx, r reach) error {
		tag, err := r.tag(id)
		if err != nil {
			return err
		}
		wire = wireTag(tag)
		return tx.DeleteTag(ctx, tag, c.now.UnixMicro())
	})
	return wire, err
}
