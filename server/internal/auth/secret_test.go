package auth_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/hanzoai/kms/server/internal/auth"
)

func TestCredentialsHaveTheirForm(t *testing.T) {
	secret, secretPrefix := auth.NewClientSecret()
	token, tokenPrefix := auth.NewOpaqueToken()
	for name, test := range map[string]struct{ text, prefix, form string }{
		"client secret": {secret.Reveal(), secretPrefix, `^st\.[A-Za-z0-9_-]{43}$`},
		"opaque token":  {token.Reveal(), tokenPrefix, `^kms\.[A-Za-z0-9_-]{43}$`},
		"link token":    {auth.NewLinkToken().Reveal(), "", `^kmsl\.[A-Za-z0-9_-]{43}$`},
	} {
		if !regexp.MustCompile(test.form).MatchString(test.text) {
			t.Errorf("a %s of another form than %s", name, test.form)
		}
		if test.prefix != "" && (len(test.prefix) != 8 || !strings.HasPrefix(test.text, test.prefix)) {
			t.Errorf("the prefix of a %s is %q, want its first 8 characters", name, test.prefix)
		}
	}
}

func TestNoCredentialIsDrawnTwice(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		secret, _ := auth.NewClientSecret()
		token, _ := auth.NewOpaqueToken()
		for _, text := range []string{secret.Reveal(), token.Reveal(), auth.NewLinkToken().Reveal()} {
			_, random, _ := strings.Cut(text, ".")
			if seen[random] {
				t.Fatal("drawn twice")
			}
			seen[random] = true
		}
	}
}

// Clients of this dialect take a token that starts with "st." for a service
// token and cut it at its dots.
func TestNoAccessTokenStartsLikeAClientSecret(t *testing.T) {
	opaque, _ := auth.NewOpaqueToken()
	for name, token := range map[string]string{
		"signed": sign(t, newRing(t, secretNew), identityClaims()),
		"opaque": opaque.Reveal(),
	} {
		if strings.HasPrefix(token, "st.") {
			t.Errorf("a %s access token starts with st.", name)
		}
	}
}

func TestOnlyOpaqueTokensAreOpaque(t *testing.T) {
	token, prefix := auth.NewOpaqueToken()
	secret, _ := auth.NewClientSecret()
	text := token.Reveal()
	for name, test := range map[string]struct {
		text string
		want bool
	}{
		"an opaque token":           {text, true},
		"all zero":                  {"kms." + strings.Repeat("A", 43), true},
		"nothing":                   {"", false},
		"its prefix":                {prefix, false},
		"one character less":        {text[:46], false},
		"one character more":        {text + "A", false},
		"a line end within":         {text[:20] + "\n" + text[21:], false},
		"a line end behind":         {text + "\n", false},
		"standard base64":           {"kms." + strings.Repeat("A", 20) + "+/" + strings.Repeat("A", 21), false},
		"bits behind the last byte": {"kms." + strings.Repeat("A", 42) + "B", false},
		"a client secret":           {secret.Reveal(), false},
		"a link":                    {auth.NewLinkToken().Reveal(), false},
		"upper case":                {strings.ToUpper(text[:4]) + text[4:], false},
		"a signed token":            {sign(t, newRing(t, secretNew), identityClaims()), false},
	} {
		if got := auth.IsOpaqueToken(test.text); got != test.want {
			t.Errorf("%s: %t, want %t", name, got, test.want)
		}
	}
}
