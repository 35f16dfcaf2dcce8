package reports

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hanzoai/kms/injector/internal/inject"
)

// identity is the pod that a token is bound to.
type identity struct {
	types.NamespacedName
	uid types.UID
}

// What an API server says of a token that is bound to a pod.
const (
	podNameExtra = "authentication.kubernetes.io/pod-name"
	podUIDExtra  = "authentication.kubernetes.io/pod-uid"
	userPrefix   = "system:serviceaccount:"
)

const (
	maxToken  = 8 << 10
	goodFor   = 2 * time.Minute // and never longer than the token
	badFor    = 10 * time.Second
	maxTokens = 10000
)

// tokens are answers of the API server about tokens, which are kept as hashes.
type tokens struct {
	client client.Client

	mu      sync.Mutex
	answers map[[sha256.Size]byte]verdict // guarded by mu
}

// verdict is one answer: a pod, or why there is none.
type verdict struct {
	from    identity
	refused error
	until   time.Time
}

func newTokens(c client.Client) *tokens {
	return &tokens{client: c, answers: map[[sha256.Size]byte]verdict{}}
}

func unauthenticated(text string) error {
	return &refusal{code: http.StatusUnauthorized, result: stranger, text: text}
}

// bearer is the token of a request. One that is not for reports ends here.
func bearer(r *http.Request) (string, error) {
	token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case !found || token == "" || len(token) > maxToken:
		return "", unauthenticated("a report comes with Authorization: Bearer and the token of a pod")
	case !slices.Contains(claimsOf(token).Audience, inject.ReportAudience):
		return "", unauthenticated("the token must be one of a service account for the audience " + inject.ReportAudience)
	}
	return token, nil
}

// claims are what a token says itself, which is believed only as far as it
// shortens things.
type claims struct {
	Audience []string `json:"aud"`
	Expiry   int64    `json:"exp"`
}

func claimsOf(token string) (c claims) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return claims{}
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil || json.Unmarshal(text, &c) != nil {
		return claims{}
	}
	return c
}

// known is the answer that there is already.
func (t *tokens) known(token string) (v verdict, found bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	v, found = t.answers[sha256.Sum256([]byte(token))]
	return v, found && time.Now().Before(v.until)
}

// review asks the API server about a token and remembers its answer, if there
// is one.
func (t *tokens) review(ctx context.Context, token string) (identity, error) {
	asked := authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{inject.ReportAudience}}}
	if err := t.client.Create(ctx, &asked); err != nil {
		return identity{}, err
	}
	v := verdict{until: time.Now().Add(badFor)}
	if v.from, v.refused = identityOf(asked.Status); v.refused == nil {
		v.until = time.Now().Add(goodFor)
		if expiry := time.Unix(claimsOf(token).Expiry, 0); expiry.Before(v.until) {
			v.until = expiry
		}
	}
	t.remember(sha256.Sum256([]byte(token)), v)
	return v.from, v.refused
}

func (t *tokens) remember(hash [sha256.Size]byte, v verdict) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	makeRoom(t.answers, maxTokens, func(old verdict) bool { return !now.Before(old.until) })
	t.answers[hash] = v
}

// identityOf reads the answer of an API server. All of it must be there: a
// server that knows no audiences, for one, would let any token pass.
func identityOf(s authenticationv1.TokenReviewStatus) (identity, error) {
	if !s.Authenticated || !slices.Contains(s.Audiences, inject.ReportAudience) {
		return identity{}, unauthenticated("the cluster does not vouch for this token")
	}
	namespace, account, found := strings.Cut(strings.TrimPrefix(s.User.Username, userPrefix), ":")
	name, uid := one(s.User.Extra[podNameExtra]), one(s.User.Extra[podUIDExtra])
	if !strings.HasPrefix(s.User.Username, userPrefix) || !found || namespace == "" || account == "" || name == "" || uid == "" {
		return identity{}, &refusal{code: http.StatusForbidden, result: stranger, text: "the token is bound to no pod: only the one of a pod's volume is"}
	}
	return identity{types.NamespacedName{Namespace: namespace, Name: name}, types.UID(uid)}, nil
}

func one(values []string) string {
	if len(values) != 1 {
		return ""
	}
	return values[0]
}
