package api

// LoginRequest is the body of a Universal Auth login.
type LoginRequest struct {
	ClientID     string `json:"clientId"`
	ClientSecret Value  `json:"clientSecret"`
}

// Login answers a login or a renewal. Both times are in seconds.
type Login struct {
	AccessToken       string `json:"accessToken"`
	ExpiresIn         int64  `json:"expiresIn"`
	AccessTokenMaxTTL int64  `json:"accessTokenMaxTTL"`
	TokenType         string `json:"tokenType"` // always "Bearer"
}

// Identity is a machine identity.
type Identity struct {
	ID                  string   `json:"id"`
	Name                string   `json:"name"`
	OrgID               string   `json:"orgId"`
	Role                string   `json:"role"` // in the organisation: "admin", "member" or "no-access"
	HasDeleteProtection bool     `json:"hasDeleteProtection"`
	AuthMethods         []string `json:"authMethods"`
	CreatedAt           Time     `json:"createdAt"`
	UpdatedAt           Time     `json:"updatedAt"`
}

// UniversalAuth is the Universal Auth configuration of an identity. All times
// are in seconds.
type UniversalAuth struct {
	ID                      string      `json:"id"`
	IdentityID              string      `json:"identityId"`
	ClientID                string      `json:"clientId"`
	AccessTokenTTL          int64       `json:"accessTokenTTL"`
	AccessTokenMaxTTL       int64       `json:"accessTokenMaxTTL"`
	AccessTokenNumUsesLimit int64       `json:"accessTokenNumUsesLimit"` // 0: no limit
	AccessTokenPeriod       int64       `json:"accessTokenPeriod"`       // 0: not periodic
	ClientSecretTrustedIPs  []TrustedIP `json:"clientSecretTrustedIps"`
	AccessTokenTrustedIPs   []TrustedIP `json:"accessTokenTrustedIps"`
	LockoutEnabled          bool        `json:"lockoutEnabled"`
	LockoutThreshold        int64       `json:"lockoutThreshold"`
	LockoutDuration         int64       `json:"lockoutDurationSeconds"`
	LockoutCounterReset     int64       `json:"lockoutCounterResetSeconds"`
	CreatedAt               Time        `json:"createdAt"`
	UpdatedAt               Time        `json:"updatedAt"`
}

// TrustedIP is one network that a login or a call may come from. A bare
// address is its own network.
type TrustedIP struct {
	IPAddress string `json:"ipAddress"`
	Type      string `json:"type,omitempty"`   // "ipv4" or "ipv6"
	Prefix    *int   `json:"prefix,omitempty"` // bits of the network
}

// ClientSecret is what is known of a client secret once it was shown.
type ClientSecret struct {
	ID           string `json:"id"`
	Description  string `json:"description"`
	Prefix       string `json:"clientSecretPrefix"`
	NumUses      int64  `json:"clientSecretNumUses"`
	NumUsesLimit int64  `json:"clientSecretNumUsesLimit"` // 0: no limit
	TTL          int64  `json:"clientSecretTTL"`          // seconds, 0: no end
	IdentityUAID string `json:"identityUAId"`
	IsRevoked    bool   `json:"isClientSecretRevoked"`
	ExpiresAt    *Time  `json:"expiresAt,omitempty"`
	LastUsedAt   *Time  `json:"lastUsedAt,omitempty"`
	CreatedAt    Time   `json:"createdAt"`
	UpdatedAt    Time   `json:"updatedAt"`
}

// User is a person.
type User struct {
	ID         string `json:"id"`
	Email      string `json:"email"`
	Username   string `json:"username"` // the e-mail address
	FirstName  string `json:"firstName"`
	LastName   string `json:"lastName"`
	SuperAdmin bool   `json:"superAdmin"`
	CreatedAt  Time   `json:"createdAt"`
	UpdatedAt  Time   `json:"updatedAt"`
}
