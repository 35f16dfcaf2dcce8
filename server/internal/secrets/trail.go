package secrets

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/internal/audit"
	"github.com/hanzoai/kms/server/internal/policy"
	"github.com/hanzoai/kms/server/internal/store"
)

// TrailRequest asks for rows of the audit trail; empty fields do not narrow.
type TrailRequest struct {
	OrganizationID               string // "": the caller's
	Project                      ProjectRef
	From, To                     int64 // microseconds, created in [From, To)
	ActorType, ActorID           string
	Actions, Events              []string
	Environment, Path, SecretKey string
	Outcome, IP                  string
	After                        string // where a page before ended
	Offset, Limit                int64
}

// maxTrail bounds the rows of one page.
const maxTrail = 1000

// Trail reads the audit trail, newest first; next is where the next page
// begins, empty on the last.
func (s *Service) Trail(ctx context.Context, caller Caller, req TrailRequest) (all []api.AuditLog, next string, err error) {
	if req.Limit == 0 {
		req.Limit = maxTrail
	}
	if req.Limit < 1 || req.Limit > maxTrail || req.Offset < 0 {
		return nil, "", api.Errorf(api.ErrInvalid, "limit is %d and offset %d: give a limit of 1 to %d and an offset of 0 or more", req.Limit, req.Offset, maxTrail)
	}
	q := store.AuditQuery{From: req.From, To: req.To, ActorType: req.ActorType, ActorID: req.ActorID, Actions: req.Actions, Events: req.Events,
		Environment: req.Environment, Path: req.Path, SecretKey: req.SecretKey, Outcome: req.Outcome, IP: req.IP, Offset: req.Offset, Limit: req.Limit}
	if req.After != "" {
		if q.BeforeAt, q.BeforeID, err = parsePage(req.After); err != nil {
			return nil, "", err
		}
	}
	err = s.look(ctx, caller, event{audit.Read, "get-audit-logs"}, func(ctx context.Context, c *call) error {
		if err := c.trailScope(ctx, req, &q); err != nil {
			return err
		}
		rows, err := c.tx.Audit(ctx, q)
		if err != nil {
			return err
		}
		all, next = make([]api.AuditLog, len(rows)), ""
		for i, row := range rows {
			if all[i], err = wireAudit(ctx, c.tx, row); err != nil {
				return err
			}
		}
		if int64(len(rows)) == q.Limit {
			last := rows[len(rows)-1]
			next = page(last.CreatedAt, last.ID)
		}
		return nil
	})
	return all, next, err
}

// trailScope narrows a query to what the caller may see: one project that he
// may audit, or the whole of an organisation that he administers.
func (c *call) trailScope(ctx context.Context, req TrailRequest, q *store.AuditQuery) error {
	if req.Project.text() != "" {
		r, err := c.project(ctx, req.Project)
		if err == nil {
			err = r.may(policy.ReadAudit)
		}
		if err != nil {
			return err
		}
		q.OrganizationIDs, q.ProjectID = []string{r.OrganizationID}, r.ID
		if env := r.bySlug[q.Environment]; env != nil {
			q.Environment = env.Slug
		}
		return nil
	}
	id, err := c.ownOrganization(req.OrganizationID)
	if err != nil {
		return err
	}
	if _, err := c.organization(ctx, id, policy.ReadOrgAudit); err != nil {
		return err
	}
	q.OrganizationIDs = []string{id}
	if c.actor.superAdmin {
		q.OrganizationIDs = append(q.OrganizationIDs, "") // requests that proved no identity
	}
	return nil
}

func page(at int64, id string) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d %s", at, id))
}

func parsePage(text string) (at int64, id string, err error) {
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		_, err = fmt.Sscanf(string(data), "%d %s", &at, &id)
	}
	if err != nil || !api.IsID(id) {
		return 0, "", api.Errorf(api.ErrInvalid, "the page is not one that an answer named in nextPage")
	}
	return at, id, nil
}

func wireAudit(ctx context.Context, tx *store.Tx, row store.AuditRow) (api.AuditLog, error) {
	at := api.Micros(row.CreatedAt)
	log := api.AuditLog{ID: row.ID, Action: row.Action, Outcome: row.Outcome, Reason: row.Reason, Repeats: row.Repeats, IPAddress: row.IP, UserAgent: row.UserAgent,
		UserAgentType: userAgentType(row.UserAgent), RequestID: row.RequestID, OrgID: row.OrganizationID, ProjectID: row.ProjectID, ProjectName: row.ProjectSlug,
		ProjectSlug: row.ProjectSlug, Environment: row.Environment, SecretPath: row.Path, CreatedAt: at, UpdatedAt: at,
		Event: api.AuditEvent{Type: row.Event, Metadata: map[string]string{}}, Actor: wireAuditActor(row)}
	if err := json.Unmarshal([]byte(row.Metadata), &log.Event.Metadata); err != nil {
		return log, err
	}
	for name, value := range map[string]string{"environment": row.Environment, "secretPath": row.Path, "secretKey": row.SecretKey} {
		if value != "" {
			log.Event.Metadata[name] = value
		}
	}
	if row.SecretKey != "" && row.Manifest == nil { // a manifest names it, too
		log.SecretKeys = []api.AuditKey{{Environment: row.Environment, SecretPath: row.Path, SecretKey: row.SecretKey, Version: row.SecretVersion}}
	}
	if row.Manifest == nil {
		return log, nil
	}
	items, err := tx.ManifestItems(ctx, store.Day(row.CreatedAt), row.Manifest)
	for _, i := range items {
		log.SecretKeys = append(log.SecretKeys, api.AuditKey{Environment: i.Environment, SecretPath: i.Path, SecretKey: i.Key, Version: i.Version})
	}
	log.Event.Metadata["numberOfSecrets"] = fmt.Sprint(len(items))
	return log, err
}

func wireAuditActor(row store.AuditRow) api.AuditActor {
	switch row.ActorType {
	case store.ActorIdentity:
		return api.AuditActor{Type: row.ActorType, Metadata: map[string]string{"identityId": row.ActorID, "name": row.ActorName}}
	case store.ActorUser:
		return api.AuditActor{Type: row.ActorType, Metadata: map[string]string{"userId": row.ActorID, "email": row.ActorName}}
	}
	return api.AuditActor{Type: "unknownUser", Metadata: map[string]string{}}
}

// userAgentType is Infisical's classification of a User-Agent.
func userAgentType(userAgent string) string {
	switch {
	case userAgent == "cli", userAgent == "terraform":
		return userAgent
	case userAgent == "k8-operator", strings.HasPrefix(userAgent, "k8-operator/"):
		return "k8-operator"
	case strings.HasPrefix(userAgent, "Mozilla/"):
		return "web"
	case strings.Contains(userAgent, "InfisicalPythonSDK"):
		return "InfisicalPythonSDK"
	case strings.Contains(userAgent, "InfisicalNodeSDK"):
		return "InfisicalNodeSDK"
	}
	return "other"
}
