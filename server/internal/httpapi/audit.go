package httpapi

import (
	"time"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/internal/secrets"
)

// listAudit answers {"auditLogs":[...],"nextCursor"}, newest first.
func listAudit(x *exchange) (any, error) {
	req := secrets.TrailRequest{OrganizationID: x.first("orgId", "organizationId"), Project: x.project(), ActorType: x.first("actorType"), ActorID: x.first("actor", "actorId"),
		Actions: x.list("action"), Events: x.list("eventType"), Environment: x.first("environment"), Path: x.first("secretPath"), SecretKey: x.first("secretKey"),
		Outcome: x.first("outcome"), IP: x.first("ipAddress"), After: x.first("cursor")}
	var errs [4]error
	req.From, errs[0] = x.moment("startDate", false)
	req.To, errs[1] = x.moment("endDate", true)
	req.Offset, errs[2] = x.number("offset", 0)
	req.Limit, errs[3] = x.number("limit", 0)
	if err := firstError(errs[:]...); err != nil {
		return nil, err
	}
	all, next, err := x.h.cfg.Service.Trail(x.r.Context(), x.caller, req)
	return struct {
		Logs []api.AuditLog `json:"auditLogs"`
		Next string         `json:"nextCursor"`
	}{all, next}, err
}

// moment is a query parameter that is a day or a time, in microseconds; 0 is
// none. A day as an end includes all of it.
func (x *exchange) moment(name string, end bool) (int64, error) {
	value := x.first(name)
	if value == "" {
		return 0, nil
	}
	if day, err := time.Parse(time.DateOnly, value); err == nil {
		if end {
			day = day.AddDate(0, 0, 1)
		}
		return day.UnixMicro(), nil
	}
	at, err := time.Parse(time.RFC3339, value)
	if err != nil {
		return 0, api.Errorf(api.ErrInvalid, "The query parameter %s must be a day such as 2025-01-31 or an RFC 3339 time such as 2025-01-31T09:30:00Z", name)
	}
	if end {
		return at.UnixMicro() + 1, nil // the moment itself is in
	}
	return at.UnixMicro(), nil
}
