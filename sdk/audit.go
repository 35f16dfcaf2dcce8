package sdk

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/hanzoai/kms/api"
)

// AuditQuery says which audit records to ask for. What is zero does not
// narrow the query.
type AuditQuery struct {
	OrganizationID string
	Project        string // id or slug
	Environment    string // slug
	SecretPath     string
	SecretKey      string
	Action         string // such as "read"; several are separated by commas
	EventType      string // such as "get-secrets"; several are separated by commas
	ActorType      string // "identity" or "user"
	ActorID        string
	Outcome        string // "success", "denied" or "failed"
	IPAddress      string
	From           time.Time
	To             time.Time

	Limit  int    // records of one page; 0: the server's default
	Cursor string // the Next of the page before
}

// AuditPage is one page of audit records, newest first.
type AuditPage struct {
	Logs []api.AuditLog `json:"auditLogs"`
	Next string         `json:"nextCursor"` // "" on the last page
}

// AuditLogs gives one page of the audit trail.
func (c *Client) AuditLogs(ctx context.Context, q AuditQuery) (AuditPage, error) {
	var page AuditPage
	err := c.call(ctx, http.MethodGet, "/api/v1/audit-logs", q.values(), nil, &page)
	return page, err
}

// AllAuditLogs walks the audit trail page by page, newest first. It ends with
// the first error.
func (c *Client) AllAuditLogs(ctx context.Context, q AuditQuery) iter.Seq2[api.AuditLog, error] {
	return func(yield func(api.AuditLog, error) bool) {
		for {
			page, err := c.AuditLogs(ctx, q)
			if err != nil {
				yield(api.AuditLog{}, err)
				return
			}
			for _, log := range page.Logs {
				if !yield(log, nil) {
					return
				}
			}
			if page.Next == "" || page.Next == q.Cursor {
				return
			}
			q.Cursor = page.Next
		}
	}
}

func (q AuditQuery) values() url.Values {
	query := url.Values{}
	set := func(name, value string) {
		if value != "" {
			query.Set(name, value)
		}
	}
	set("orgId", q.OrganizationID)
	set("projectId", q.Project)
	set("environment", q.Environment)
	set("secretPath", q.SecretPath)
	set("secretKey", q.SecretKey)
	set("action", q.Action)
	set("outcome", q.Outcome)
	set("ipAddress", q.IPAddress)
	set("eventType", q.EventType)
	set("actorType", q.ActorType)
	set("actor", q.ActorID)
	set("startDate", auditTime(q.From))
	set("endDate", auditTime(q.To))
	set("cursor", q.Cursor)
	if q.Limit > 0 {
		query.Set("limit", strconv.Itoa(q.Limit))
	}
	return query
}

func auditTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}
