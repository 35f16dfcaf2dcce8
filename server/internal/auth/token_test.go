package auth_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/internal/auth"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func identityClaims() auth.Claims {
	return auth.Claims{
		Kind:           auth.KindIdentity,
		TokenID:        "0195a000-0000-7000-8000-000000000001",
		IdentityID:     "0195a000-0000-7000-8000-000000000002",
		ClientSecretID: "0195a000-0000-7000-8000-000000000003",
		OrgID:          "0195a000-0000-7000-8000-000000000004",
		IssuedAt:       start,
		ExpiresAt:      start.Add(2 * time.Hour),
		OriginAt:       start,
		MaxExpiresAt:   start.Add(6 * time.Hour),
		TTL:            7200,
	}
}

func userClaims() auth.Claims {
	c := identityClaims()
	c.Kind, c.UserID, c.IdentityID, c.ClientSecretID = auth.KindUser, "0195a000-0000-7000-8000-000000000005", "", ""
	return c
}

func with(c auth.Claims, change func(*auth.Claims)) auth.Claims {
	change(&c)
	return c
}

func TestATokenSaysWhatWasSigned(t *testing.T) {
	ring := newRing(t, secretNew)
	for name, want := range map[string]auth.Claims{
		"an identity":                identityClaims(),
		"a person":                   userClaims(),
		"no client secret":           with(identityClaims(), func(c *auth.Claims) { c.ClientSecretID = "" }),
		"periodic":                   with(identityClaims(), func(c *auth.Claims) { c.Period = 3600 }),
		"a limit of 9 digits":        with(identityClaims(), func(c *auth.Claims) { c.NumUsesLimit = 999_999_999 }),
		"a limit of 10 digits":       with(identityClaims(), func(c *auth.Claims) { c.NumUsesLimit = 1_000_000_000 }),
		"a limit of 11 digits":       with(identityClaims(), func(c *auth.Claims) { c.NumUsesLimit = 10_000_000_000 }),
		"a limit beyond float64":     with(identityClaims(), func(c *auth.Claims) { c.NumUsesLimit = 1<<53 + 1 }),
		"the largest limits":         with(identityClaims(), func(c *auth.Claims) { c.NumUsesLimit, c.TTL = math.MaxInt64, math.MaxInt64 }),
		"a TTL of 10 digits":         with(identityClaims(), func(c *auth.Claims) { c.TTL = 1_000_000_000 }),
		"an id with marks and signs": with(identityClaims(), func(c *auth.Claims) { c.OrgID = `<ø&"\>` }),
		"a renewal before its origin, by a replica whose clock is behind": with(identityClaims(), func(c *auth.Claims) { c.OriginAt = start.Add(2 * time.Second) }),
	} {
		t.Run(name, func(t *testing.T) {
			token, err := ring.Sign(want)
			if err != nil {
				t.Fatal(err)
			}
			got, err := ring.Verify(token, start)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("claims changed on the way (-signed +verified):\n%s", diff)
			}
		})
	}
}

func TestFractionsOfASecondAreCutOff(t *testing.T) {
	ring := newRing(t, secretNew)
	token, err := ring.Sign(with(identityClaims(), func(c *auth.Claims) {
		c.ExpiresAt = c.ExpiresAt.Add(999 * time.Millisecond).In(time.FixedZone("elsewhere", 3600))
	}))
	if err != nil {
		t.Fatal(err)
	}
	got, err := ring.Verify(token, start)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(identityClaims(), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestClaimsThatWouldMakeAWorthlessTokenAreNotSigned(t *testing.T) {
	ring := newRing(t, secretNew)
	for name, claims := range map[string]auth.Claims{
		"nothing":                     {},
		"no kind":                     with(identityClaims(), func(c *auth.Claims) { c.Kind = "" }),
		"a kind that does not exist":  with(identityClaims(), func(c *auth.Claims) { c.Kind = "serviceToken" }),
		"no token id":                 with(identityClaims(), func(c *auth.Claims) { c.TokenID = "" }),
		"an identity without id":      with(identityClaims(), func(c *auth.Claims) { c.IdentityID = "" }),
		"an identity and a person":    with(identityClaims(), func(c *auth.Claims) { c.UserID = "somebody" }),
		"a person without id":         with(userClaims(), func(c *auth.Claims) { c.UserID = "" }),
		"a person and an identity":    with(userClaims(), func(c *auth.Claims) { c.IdentityID = "something" }),
		"a person by client secret":   with(userClaims(), func(c *auth.Claims) { c.ClientSecretID = "something" }),
		"no issue time":               with(identityClaims(), func(c *auth.Claims) { c.IssuedAt = time.Time{} }),
		"no expiry":                   with(identityClaims(), func(c *auth.Claims) { c.ExpiresAt = time.Time{} }),
		"no origin":                   with(identityClaims(), func(c *auth.Claims) { c.OriginAt = time.Time{} }),
		"no maximum":                  with(identityClaims(), func(c *auth.Claims) { c.MaxExpiresAt = time.Time{} }),
		"expiry at issue":             with(identityClaims(), func(c *auth.Claims) { c.ExpiresAt = c.IssuedAt }),
		"expiry beyond the maximum":   with(identityClaims(), func(c *auth.Claims) { c.MaxExpiresAt = c.ExpiresAt.Add(-time.Second) }),
		"an origin after the maximum": with(identityClaims(), func(c *auth.Claims) { c.OriginAt = c.MaxExpiresAt.Add(time.Second) }),
		"a maximum after 9999":        with(identityClaims(), func(c *auth.Claims) { c.MaxExpiresAt = time.Unix(253402300800, 0) }),
		"a negative limit":            with(identityClaims(), func(c *auth.Claims) { c.NumUsesLimit = -1 }),
		"a negative TTL":              with(identityClaims(), func(c *auth.Claims) { c.TTL = -1 }),
		"a negative period":           with(identityClaims(), func(c *auth.Claims) { c.Period = -1 }),
		"an id that is not UTF-8":     with(identityClaims(), func(c *auth.Claims) { c.OrgID = "\xff" }),
		"a token of more than 4 KiB":  with(identityClaims(), func(c *auth.Claims) { c.OrgID = string(make([]byte, 4096)) }),
	} {
		t.Run(name, func(t *testing.T) {
			if token, err := ring.Sign(claims); err == nil || token != "" {
				t.Errorf("Sign gave %d bytes and error %v, want none and an error", len(token), err)
			}
		})
	}
}

func TestARenewalKeepsTheTokenIDAndEndsAtTheMaximum(t *testing.T) {
	periodic := func(c *auth.Claims) { c.Period = 60 }
	for name, test := range map[string]struct {
		claims  auth.Claims
		at      time.Duration // since the login
		expires time.Duration // since the login
	}{
		"right after the login":          {identityClaims(), 0, 2 * time.Hour},
		"at two thirds":                  {identityClaims(), 80 * time.Minute, 200 * time.Minute},
		"within a second":                {identityClaims(), 80*time.Minute + 999*time.Millisecond, 200 * time.Minute},
		"to the maximum exactly":         {identityClaims(), 4 * time.Hour, 6 * time.Hour},
		"capped at the maximum":          {identityClaims(), 5 * time.Hour, 6 * time.Hour},
		"one second before the maximum":  {identityClaims(), 6*time.Hour - time.Second, 6 * time.Hour},
		"periodic by its period":         {with(identityClaims(), periodic), time.Hour, time.Hour + time.Minute},
		"by a TTL that would overflow":   {with(identityClaims(), func(c *auth.Claims) { c.TTL = math.MaxInt64 }), time.Hour, 6 * time.Hour},
		"on a clock behind the login's":  {identityClaims(), -2 * time.Second, 2*time.Hour - 2*time.Second},
		"of a person":                    {userClaims(), time.Hour, 3 * time.Hour},
		"by 10 digits, before a far end": {with(identityClaims(), func(c *auth.Claims) { c.TTL, c.MaxExpiresAt = 1_000_000_000, start.AddDate(100, 0, 0) }), 0, 1_000_000_000 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			ring := newRing(t, secretNew)
			now := start.Add(test.at)
			got, err := test.claims.Renew(now)
			if err != nil {
				t.Fatal(err)
			}
			want := test.claims
			want.IssuedAt, want.ExpiresAt = now.Truncate(time.Second), start.Add(test.expires)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			token, err := ring.Sign(got)
			if err != nil {
				t.Fatalf("the renewed token cannot be signed: %v", err)
			}
			if _, err := ring.Verify(token, now); err != nil {
				t.Errorf("the renewed token does not verify: %v", err)
			}
		})
	}
}

func TestATokenThatCannotLiveLongerIsNotRenewed(t *testing.T) {
	for name, test := range map[string]struct {
		claims auth.Claims
		at     time.Duration
		kind   error
	}{
		"at the maximum":                    {identityClaims(), 6 * time.Hour, api.ErrUnauthenticated},
		"after the maximum":                 {identityClaims(), 7 * time.Hour, api.ErrUnauthenticated},
		"in the last second of the maximum": {with(identityClaims(), func(c *auth.Claims) { c.MaxExpiresAt = c.MaxExpiresAt.Add(500 * time.Millisecond) }), 6*time.Hour + 100*time.Millisecond, api.ErrUnauthenticated},
		"without TTL and period":            {with(identityClaims(), func(c *auth.Claims) { c.TTL = 0 }), time.Hour, api.ErrInvalid},
		"of no token at all":                {auth.Claims{}, 0, api.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := test.claims.Renew(start.Add(test.at))
			if !errors.Is(err, test.kind) {
				t.Errorf("error %v, want kind %v", err, test.kind)
			}
			if got != (auth.Claims{}) {
				t.Errorf("an error came with claims: %+v", got)
			}
		})
	}
}
