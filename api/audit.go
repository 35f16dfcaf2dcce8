package api

// AuditLog is one record of the audit trail. It never holds a value.
type AuditLog struct {
	ID            string     `json:"id"`
	Action        string     `json:"action"`  // "read", "create", "update", "delete", "login", ...
	Outcome       string     `json:"outcome"` // "success", "denied" or "failed"
	Reason        string     `json:"reason,omitempty"`
	Repeats       int64      `json:"repeats"` // how many alike it stands for, at least 1
	IPAddress     string     `json:"ipAddress"`
	UserAgent     string     `json:"userAgent"`
	UserAgentType string     `json:"userAgentType"`
	RequestID     string     `json:"requestId"`
	OrgID         string     `json:"orgId"`
	ProjectID     string     `json:"projectId"`
	ProjectName   string     `json:"projectName"`
	ProjectSlug   string     `json:"projectSlug"`
	Environment   string     `json:"environment"`
	SecretPath    string     `json:"secretPath"`
	SecretKeys    []AuditKey `json:"secretKeys,omitempty"`
	Event         AuditEvent `json:"event"`
	Actor         AuditActor `json:"actor"`
	ExpiresAt     *Time      `json:"expiresAt"`
	CreatedAt     Time       `json:"createdAt"`
	UpdatedAt     Time       `json:"updatedAt"`
}

// AuditKey is one secret that a record is about.
type AuditKey struct {
	Environment string `json:"environment"`
	SecretPath  string `json:"secretPath"`
	SecretKey   string `json:"secretKey"`
	Version     int64  `json:"version"`
}

// AuditEvent is the event in Infisical's terms, such as "get-secrets".
type AuditEvent struct {
	Type     string            `json:"type"`
	Metadata map[string]string `json:"metadata"`
}

// AuditActor is who did it: "identity", "user" or "unknownUser".
type AuditActor struct {
	Type     string            `json:"type"`
	Metadata map[string]string `json:"metadata"` // identityId or userId, name or email
}
