package auth_test

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/internal/auth"
)

const (
	secretNew = "the newest secret, 32 bytes or more"
	secretOld = "an older secret of 32 bytes or more"
)

func derive(secret []byte) [32]byte { return sha256.Sum256(append([]byte("test key "), secret...)) }

func newRing(t testing.TB, secrets ...string) *auth.Ring {
	t.Helper()
	values := make([]api.Value, len(secrets))
	for i, s := range secrets {
		values[i] = api.NewValue(s)
	}
	ring, err := auth.NewRing(values, derive)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func sign(t testing.TB, ring *auth.Ring, claims auth.Claims) string {
	t.Helper()
	token, err := ring.Sign(claims)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// forge signs any payload under ring's own header and key, which only one who
// holds the key can do.
func forge(t testing.TB, ring *auth.Ring, secret string, payload []byte) string {
	t.Helper()
	header, _, _ := strings.Cut(sign(t, ring, identityClaims()), ".")
	signed := header + "." + base64.RawURLEncoding.EncodeToString(payload)
	key := derive([]byte(secret))
	mac := hmac.New(sha256.New, key[:])
	mac.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func payload(t testing.TB, token string) string {
	t.Helper()
	part := strings.Split(token, ".")[1]
	text, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestAnotherJWTLibraryReadsOurTokens(t *testing.T) {
	key := derive([]byte(secretNew))
	parsed, err := jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}), jwt.WithStrictDecoding(), jwt.WithJSONNumber(),
		jwt.WithTimeFunc(func() time.Time { return start })).
		Parse(sign(t, newRing(t, secretNew), identityClaims()), func(*jwt.Token) (any, error) { return key[:], nil })
	if err != nil {
		t.Fatal(err)
	}
	want := jwt.MapClaims{
		"authTokenType":         "identityAccessToken",
		"identityAccessTokenId": "0195a000-0000-7000-8000-000000000001",
		"identityId":            "0195a000-0000-7000-8000-000000000002",
		"clientSecretId":        "0195a000-0000-7000-8000-000000000003",
		"organizationId":        "0195a000-0000-7000-8000-000000000004",
		"iat":                   json.Number("1772366400"),
		"exp":                   json.Number("1772373600"),
		"kms_origin":            json.Number("1772366400"),
		"kms_max":               json.Number("1772388000"),
		"kms_ttl":               json.Number("7200"),
	}
	if diff := cmp.Diff(want, parsed.Claims); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The text of a token must not change by accident: two releases run side by
// side during an upgrade, and the older one takes no other form.
func TestTheTextOfATokenStaysTheSame(t *testing.T) {
	const want = "eyJhbGciOiJIUzI1NiIsImtpZCI6IlpsbFpDM0p6ZHFBWSIsInR5cCI6IkpXVCJ9"
	token := sign(t, newRing(t, secretNew), with(identityClaims(), func(c *auth.Claims) { c.Period, c.NumUsesLimit = 60, 5 }))
	if header, _, _ := strings.Cut(token, "."); header != want {
		t.Errorf("header %s, want %s", header, want)
	}
	const wantPayload = `{"authTokenType":"identityAccessToken","identityAccessTokenId":"0195a000-0000-7000-8000-000000000001",` +
		`"identityId":"0195a000-0000-7000-8000-000000000002","clientSecretId":"0195a000-0000-7000-8000-000000000003",` +
		`"organizationId":"0195a000-0000-7000-8000-000000000004","iat":1772366400,"exp":1772373600,"kms_origin":1772366400,` +
		`"kms_max":1772388000,"kms_ttl":7200,"kms_period":60,"kms_uses":5}`
	if diff := cmp.Diff(wantPayload, payload(t, token)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestATokenEndsWithoutLeeway(t *testing.T) {
	ring := newRing(t, secretNew)
	token := sign(t, ring, identityClaims())
	end := identityClaims().ExpiresAt
	if _, err := ring.Verify(token, end.Add(-time.Nanosecond)); err != nil {
		t.Errorf("a nanosecond before its end: %v", err)
	}
	for _, now := range []time.Time{end, end.Add(time.Nanosecond), end.Add(time.Hour)} {
		got, err := ring.Verify(token, now)
		if !errors.Is(err, auth.ErrExpired) || got != (auth.Claims{}) {
			t.Errorf("at %s: %+v, %v, want no claims and ErrExpired", now.Sub(end), got, err)
		}
	}
}

func TestRefusalsAreForTheCaller(t *testing.T) {
	for err, want := range map[error]string{
		auth.ErrExpired:   "Your token has expired. Please re-authenticate.",
		auth.ErrMalformed: "The access token is malformed or was not issued by this server. Please re-authenticate.",
	} {
		if !errors.Is(err, api.ErrUnauthenticated) || api.Message(err) != want {
			t.Errorf("message %q of kind %s, want %q of kind unauthenticated", api.Message(err), api.Kind(err), want)
		}
	}
}

func TestOnlyOurHeadersVerify(t *testing.T) {
	ring := newRing(t, secretNew, secretOld)
	good := sign(t, ring, identityClaims())
	headerText, err := base64.RawURLEncoding.DecodeString(strings.Split(good, ".")[0])
	if err != nil {
		t.Fatal(err)
	}
	var header map[string]any
	if err := json.Unmarshal(headerText, &header); err != nil {
		t.Fatal(err)
	}
	var claims jwt.MapClaims
	decoder := json.NewDecoder(strings.NewReader(payload(t, good)))
	decoder.UseNumber()
	if err := decoder.Decode(&claims); err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	key, old := derive([]byte(secretNew)), derive([]byte(secretOld))
	stranger := derive([]byte("somebody else's secret"))
	kid := header["kid"]

	for name, test := range map[string]struct {
		method jwt.SigningMethod
		key    any
		header map[string]any // set over alg and typ; nil removes
	}{
		"alg none":                     {jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, map[string]any{"kid": kid}},
		"alg none called HS256":        {jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, map[string]any{"kid": kid, "alg": "HS256"}},
		"alg None":                     {jwt.SigningMethodHS256, key[:], map[string]any{"kid": kid, "alg": "None"}},
		"alg in lower case":            {jwt.SigningMethodHS256, key[:], map[string]any{"kid": kid, "alg": "hs256"}},
		"no alg":                       {jwt.SigningMethodHS256, key[:], map[string]any{"kid": kid, "alg": nil}},
		"HS384":                        {jwt.SigningMethodHS384, key[:], map[string]any{"kid": kid}},
		"HS512":                        {jwt.SigningMethodHS512, key[:], map[string]any{"kid": kid}},
		"RS256":                        {jwt.SigningMethodRS256, rsaKey, map[string]any{"kid": kid}},
		"HS512 called HS256":           {jwt.SigningMethodHS512, key[:], map[string]any{"kid": kid, "alg": "HS256"}},
		"no kid":                       {jwt.SigningMethodHS256, key[:], nil},
		"an empty kid":                 {jwt.SigningMethodHS256, key[:], map[string]any{"kid": ""}},
		"a kid that nobody has":        {jwt.SigningMethodHS256, key[:], map[string]any{"kid": "AAAAAAAAAAAA"}},
		"a kid that is a number":       {jwt.SigningMethodHS256, key[:], map[string]any{"kid": 7}},
		"a kid that is a list":         {jwt.SigningMethodHS256, key[:], map[string]any{"kid": []any{kid}}},
		"our kid, a stranger's key":    {jwt.SigningMethodHS256, stranger[:], map[string]any{"kid": kid}},
		"the newest kid, an older key": {jwt.SigningMethodHS256, old[:], map[string]any{"kid": kid}},
		"an empty key":                 {jwt.SigningMethodHS256, []byte{}, map[string]any{"kid": kid}},
		"another type":                 {jwt.SigningMethodHS256, key[:], map[string]any{"kid": kid, "typ": "at+jwt"}},
		"a critical extension":         {jwt.SigningMethodHS256, key[:], map[string]any{"kid": kid, "crit": []string{"b64"}, "b64": false}},
		"a key of its own":             {jwt.SigningMethodHS256, stranger[:], map[string]any{"kid": kid, "jwk": map[string]any{"kty": "oct", "k": base64.RawURLEncoding.EncodeToString(stranger[:])}}},
	} {
		t.Run(name, func(t *testing.T) {
			token := jwt.NewWithClaims(test.method, claims)
			maps.Copy(token.Header, test.header)
			maps.DeleteFunc(token.Header, func(_ string, value any) bool { return value == nil })
			text, err := token.SignedString(test.key)
			if err != nil {
				t.Fatal(err)
			}
			refused(t, ring, text)
		})
	}
}

func refused(t *testing.T, ring *auth.Ring, token string) {
	t.Helper()
	got, err := ring.Verify(token, start)
	if err != auth.ErrMalformed || got != (auth.Claims{}) {
		t.Errorf("Verify gave %+v, %v, want no claims and ErrMalformed", got, err)
	}
}

func TestAChangedTokenIsRefused(t *testing.T) {
	ring := newRing(t, secretNew)
	good := sign(t, ring, identityClaims())
	parts := strings.Split(good, ".")
	last := func(s string) string { // another last character with the same first bits: the same bytes to base64
		const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
		return s[:len(s)-1] + string(alphabet[strings.IndexByte(alphabet, s[len(s)-1])^1])
	}
	for name, token := range map[string]string{
		"nothing":                   "",
		"a dot":                     ".",
		"two dots":                  "..",
		"only a header":             parts[0],
		"no signature":              parts[0] + "." + parts[1],
		"an empty signature":        parts[0] + "." + parts[1] + ".",
		"an empty payload":          parts[0] + ".." + parts[2],
		"a fourth part":             good + ".",
		"a fourth part, filled":     good + "." + parts[2],
		"a space behind":            good + " ",
		"a line end behind":         good + "\n",
		"a line end in the payload": parts[0] + "." + parts[1][:10] + "\n" + parts[1][10:] + "." + parts[2],
		"another spelling of the signature's bytes": parts[0] + "." + parts[1] + "." + last(parts[2]),
		"a padded signature":                        good + "=",
		"a cut signature":                           good[:len(good)-1],
		"Bearer before it":                          "Bearer " + good,
		"another token's payload":                   parts[0] + "." + strings.Split(sign(t, ring, userClaims()), ".")[1] + "." + parts[2],
		"a client secret":                           "st." + parts[1] + "." + parts[2],
		"4 KiB of noise":                            strings.Repeat("a", auth.MaxToken),
		"a megabyte of dots":                        strings.Repeat(".", 1<<20),
		"a good beginning of a megabyte":            good + strings.Repeat("A", 1<<20),
	} {
		t.Run(name, func(t *testing.T) { refused(t, ring, token) })
	}
	for i := range len(good) {
		flipped := []byte(good)
		flipped[i] ^= 1
		if _, err := ring.Verify(string(flipped), start); err != auth.ErrMalformed {
			t.Errorf("byte %d changed: %v, want ErrMalformed", i, err)
		}
	}
}

func TestATokenOf4KiBIsTheLongest(t *testing.T) {
	ring := newRing(t, secretNew)
	body := payload(t, sign(t, ring, identityClaims()))
	// Both are canonical and well signed, and differ only in length.
	sized := func(pad int) string {
		return forge(t, ring, secretNew, []byte(strings.Replace(body, `"organizationId":"`, `"organizationId":"`+strings.Repeat("x", pad), 1)))
	}
	pad := 0
	for len(sized(pad+1)) <= auth.MaxToken {
		pad++
	}
	if _, err := ring.Verify(sized(pad), start); err != nil {
		t.Errorf("a token of %d bytes: %v", len(sized(pad)), err)
	}
	refused(t, ring, sized(pad+1))
}

func TestWellSignedClaimsOfAnotherFormAreRefused(t *testing.T) {
	ring := newRing(t, secretNew)
	body := payload(t, sign(t, ring, identityClaims()))
	if _, err := ring.Verify(forge(t, ring, secretNew, []byte(body)), start); err != nil {
		t.Fatalf("the unchanged claims: %v", err)
	}
	const exp = `"exp":1772373600`
	for name, changed := range map[string]string{
		"exp missing":                   strings.Replace(body, exp+",", "", 1),
		"exp null":                      strings.Replace(body, exp, `"exp":null`, 1),
		"exp as string":                 strings.Replace(body, exp, `"exp":"1772373600"`, 1),
		"exp as float":                  strings.Replace(body, exp, `"exp":1772373600.5`, 1),
		"exp as whole float":            strings.Replace(body, exp, `"exp":1772373600.0`, 1),
		"exp with exponent":             strings.Replace(body, exp, `"exp":17723736e2`, 1),
		"exp as list":                   strings.Replace(body, exp, `"exp":[1772373600]`, 1),
		"exp true":                      strings.Replace(body, exp, `"exp":true`, 1),
		"exp zero":                      strings.Replace(body, exp, `"exp":0`, 1),
		"exp negative":                  strings.Replace(body, exp, `"exp":-1`, 1),
		"exp beyond int64":              strings.Replace(body, exp, `"exp":9223372036854775808`, 1),
		"exp huge":                      strings.Replace(body, exp, `"exp":1e400`, 1),
		"exp at the end of int64":       strings.Replace(body, exp, `"exp":9223372036854775807`, 1),
		"exp twice, the later last":     strings.Replace(body, exp, exp+`,"exp":1772380000`, 1),
		"exp twice, the later first":    strings.Replace(body, exp, `"exp":1772380000,`+exp, 1),
		"exp and EXP":                   strings.Replace(body, exp, exp+`,"EXP":1772380000`, 1),
		"EXP alone":                     strings.Replace(body, `"exp"`, `"EXP"`, 1),
		"exp beyond the maximum":        strings.Replace(body, exp, `"exp":1772388001`, 1),
		"exp and maximum beyond 9999":   strings.Replace(strings.Replace(body, exp, `"exp":253402300800`, 1), `"kms_max":1772388000`, `"kms_max":253402300800`, 1),
		"identity twice":                strings.Replace(body, `"identityId":`, `"identityId":"other","identityId":`, 1),
		"an unknown claim":              strings.Replace(body, exp, exp+`,"scope":"read"`, 1),
		"another order":                 strings.Replace(body, `"iat":1772366400,"exp":1772373600`, `"exp":1772373600,"iat":1772366400`, 1),
		"a space":                       strings.Replace(body, exp, `"exp": 1772373600`, 1),
		"a line end behind":             body + "\n",
		"a second object":               body + body,
		"an escaped letter":             strings.Replace(body, "identityAccessToken\"", "\\u0069dentityAccessToken\"", 1),
		"a zero that is left out else":  strings.Replace(body, `"kms_ttl":7200`, `"kms_ttl":0`, 1),
		"a kind that does not exist":    strings.Replace(body, `"identityAccessToken"`, `"serviceToken"`, 1),
		"no kind":                       strings.Replace(body, `"authTokenType":"identityAccessToken",`, "", 1),
		"no token id":                   strings.Replace(body, `"0195a000-0000-7000-8000-000000000001"`, `""`, 1),
		"a person's id as well":         strings.Replace(body, `"clientSecretId"`, `"userId":"x","clientSecretId"`, 1),
		"a negative number of uses":     strings.Replace(body, `"kms_ttl":7200`, `"kms_ttl":7200,"kms_uses":-1`, 1),
		"a number of uses as string":    strings.Replace(body, `"kms_ttl":7200`, `"kms_ttl":7200,"kms_uses":"1000000000"`, 1),
		"an empty object":               "{}",
		"null":                          "null",
		"a list":                        "[" + body + "]",
		"a string":                      `"token"`,
		"nothing":                       "",
		"deep nesting":                  strings.Repeat("[", 2000),
		"not UTF-8":                     strings.Replace(body, "0195a000", "\xff", 1),
		"a byte order mark":             "\ufeff" + body,
		"a lone surrogate":              strings.Replace(body, "0195a000", `\ud800`, 1),
		"a NUL":                         strings.Replace(body, "0195a000", "\x00", 1),
		"an id with an unescaped angle": strings.Replace(body, "0195a000", "<", 1),
	} {
		t.Run(name, func(t *testing.T) {
			if changed == body {
				t.Fatal("this row changes nothing")
			}
			refused(t, ring, forge(t, ring, secretNew, []byte(changed)))
		})
	}
}

func TestRotatingAUTH_SECRETTakesTwoRollouts(t *testing.T) {
	claims := identityClaims()
	for name, test := range map[string]struct {
		a, b         []string // the rings of two replicas
		bTakesA      bool
		aTakesB      bool
		stillTakesIt bool // A takes a token from before, signed with the old secret
	}{
		"before":                            {[]string{secretOld}, []string{secretOld}, true, true, true},
		"the new one put first at once":     {[]string{secretNew, secretOld}, []string{secretOld}, false, true, true},
		"first rollout, new one last":       {[]string{secretOld, secretNew}, []string{secretOld}, true, true, true},
		"second rollout, new one first":     {[]string{secretNew, secretOld}, []string{secretOld, secretNew}, true, true, true},
		"the old one removed, under way":    {[]string{secretNew}, []string{secretNew, secretOld}, true, true, false},
		"the old one removed everywhere":    {[]string{secretNew}, []string{secretNew}, true, true, false},
		"replaced without anything between": {[]string{secretNew}, []string{secretOld}, false, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := newRing(t, test.a...), newRing(t, test.b...)
			before := sign(t, newRing(t, secretOld), claims)
			for what, check := range map[string]struct {
				ring  *auth.Ring
				token string
				takes bool
			}{
				"B takes A's token":   {b, sign(t, a, claims), test.bTakesA},
				"A takes B's token":   {a, sign(t, b, claims), test.aTakesB},
				"A takes its own":     {a, sign(t, a, claims), true},
				"A takes an old one":  {a, before, test.stillTakesIt},
				"B takes its own one": {b, sign(t, b, claims), true},
			} {
				got, err := check.ring.Verify(check.token, start)
				if check.takes && (err != nil || got != claims) || !check.takes && err != auth.ErrMalformed {
					t.Errorf("%s: want %t, got %+v, %v", what, check.takes, got, err)
				}
			}
		})
	}
}

func TestARenewalUnderANewKeyKeepsTheTokenID(t *testing.T) {
	old := sign(t, newRing(t, secretOld), identityClaims())
	ring := newRing(t, secretNew, secretOld)
	claims, err := ring.Verify(old, start.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	renewed, err := claims.Renew(start.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	got, err := newRing(t, secretNew).Verify(sign(t, ring, renewed), start.Add(2*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if got.TokenID != claims.TokenID || got.ClientSecretID != claims.ClientSecretID || !got.OriginAt.Equal(claims.OriginAt) {
		t.Errorf("token id, client secret or origin changed: %+v, before %+v", got, claims)
	}
}

func TestARingNeedsSecretsThatDiffer(t *testing.T) {
	for name, secrets := range map[string][]api.Value{
		"none":      nil,
		"one twice": {api.NewValue(secretNew), api.NewValue(secretOld), api.NewValue(secretNew)},
	} {
		ring, err := auth.NewRing(secrets, derive)
		if !errors.Is(err, api.ErrInvalid) || ring != nil {
			t.Errorf("%s: %v, want ErrInvalid and no ring", name, err)
		} else if strings.Contains(err.Error(), secretNew) {
			t.Errorf("%s: the error holds a secret", name)
		}
	}
}

func TestTheZeroRingSignsAndVerifiesNothing(t *testing.T) {
	var ring auth.Ring
	if token, err := ring.Sign(identityClaims()); err == nil {
		t.Errorf("it signed a token of %d bytes", len(token))
	}
	refused(t, &ring, sign(t, newRing(t, secretNew), identityClaims()))
	refused(t, &ring, "..")
}

func TestAUTH_SECRETIsReadNewestFirst(t *testing.T) {
	two := []string{secretNew32, secretOld32}
	for name, test := range map[string]struct {
		text string
		want []string
	}{
		"one":                         {secretNew32, two[:1]},
		"one of exactly 32 bytes":     {strings.Repeat("é", 16), []string{strings.Repeat("é", 16)}},
		"two by comma":                {secretNew32 + "," + secretOld32, two},
		"two by comma and space":      {" " + secretNew32 + " , " + secretOld32 + "\n", two},
		"two by line":                 {secretNew32 + "\n" + secretOld32, two},
		"two by line, as editors do":  {secretNew32 + "\r\n\r\n" + secretOld32 + "\r\n", two},
		"base64 with padding and all": {"q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=", []string{"q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA="}},
		"white space within":          {"correct horse battery staple again and again", []string{"correct horse battery staple again and again"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := auth.ParseAuthSecrets(test.text)
			if err != nil {
				t.Fatal(err)
			}
			var plain []string
			for _, value := range got {
				plain = append(plain, value.Reveal())
			}
			if diff := cmp.Diff(test.want, plain); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

const (
	secretNew32 = "0123456789abcdef0123456789ABCDEF"
	secretOld32 = "fedcba9876543210FEDCBA9876543210"
)

func TestAllProblemsOfAUTH_SECRETAreToldByPosition(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want []string
	}{
		"empty":          {"", []string{"AUTH_SECRET is empty: give a random text of 32 bytes or more"}},
		"blank":          {" \r\n\t", []string{"AUTH_SECRET is empty: give a random text of 32 bytes or more"}},
		"short":          {"canary", []string{"AUTH_SECRET: secret 1 has 6 bytes: give 32 or more"}},
		"31 bytes":       {secretNew32[1:], []string{"AUTH_SECRET: secret 1 has 31 bytes: give 32 or more"}},
		"only a comma":   {",", []string{"AUTH_SECRET: secret 1 has 0 bytes: give 32 or more", "AUTH_SECRET: secret 2 has 0 bytes: give 32 or more"}},
		"a comma behind": {secretNew32 + ",", []string{"AUTH_SECRET: secret 2 has 0 bytes: give 32 or more"}},
		"several problems": {
			secretNew32 + ",canary\ncanary2,\n" + secretNew32,
			[]string{
				"AUTH_SECRET: secret 2 has 6 bytes: give 32 or more",
				"AUTH_SECRET: secret 3 has 7 bytes: give 32 or more",
				"AUTH_SECRET: secret 4 has 0 bytes: give 32 or more",
				"AUTH_SECRET: secret 5 is the same as secret 1: give each once",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := auth.ParseAuthSecrets(test.text)
			if !errors.Is(err, api.ErrInvalid) || got != nil {
				t.Fatalf("%d secrets, %v, want none and ErrInvalid", len(got), err)
			}
			if diff := cmp.Diff(test.want, strings.Split(err.Error(), "\n")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzVerifyToken(f *testing.F) {
	ring := newRing(f, secretNew, secretOld)
	good := sign(f, ring, identityClaims())
	person := sign(f, ring, userClaims())
	f.Add(good, payload(f, good), start.Unix())
	f.Add(person, payload(f, person), start.AddDate(1, 0, 0).Unix())
	f.Add("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0."+strings.Split(good, ".")[1]+".", `{"exp":"1"}`, int64(0))
	f.Add(strings.Replace(good, ".", "..", 1), `{"exp":1.5,"exp":1e99}`, int64(-1))
	f.Fuzz(func(t *testing.T, token, body string, at int64) {
		// Without the key, and with it.
		for _, token := range []string{token, forge(t, ring, secretNew, []byte(body))} {
			claims, err := ring.Verify(token, time.Unix(at, 0))
			switch {
			case err == auth.ErrMalformed || err == auth.ErrExpired:
				if claims != (auth.Claims{}) {
					t.Errorf("an error came with claims: %+v", claims)
				}
			case err != nil:
				t.Errorf("error %v, want ErrMalformed or ErrExpired", err)
			case at >= claims.ExpiresAt.Unix():
				t.Errorf("taken at %d, expired at %d", at, claims.ExpiresAt.Unix())
			default:
				if again := sign(t, ring, claims); again != token {
					t.Errorf("a token with two spellings was taken: %q, %q", token, again)
				}
			}
		}
	})
}

func BenchmarkSign(b *testing.B) {
	ring, claims := newRing(b, secretNew), identityClaims()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ring.Sign(claims); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	ring := newRing(b, secretNew, secretOld)
	for _, token := range []string{sign(b, ring, identityClaims())} {
		b.Run(fmt.Sprintf("%d bytes", len(token)), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ring.Verify(token, start); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
