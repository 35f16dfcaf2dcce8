package policy_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/hanzoai/kms/server/internal/policy"
)

func TestMatchReadsPatternsAsPeopleWriteThem(t *testing.T) {
	for _, tt := range []struct {
		pattern, name string
		want          bool
	}{
		{"prod", "prod", true},
		{"prod", "production", false},
		{"prod", "pro", false},
		{"prod*", "production", true},
		{"*-eu", "prod-eu", true},
		{"*-eu", "prod-us", false},
		{"*", "anything", true},
		{"*", "", true},
		{"", "", true},
		{"", "a", false},
		{"DB_*", "DB_PASSWORD", true},
		{"DB_*", "DB_", true},
		{"DB_*", "db_password", false},
		{"DB_*", "", false},
		{"*_KEY_*", "STRIPE_KEY_ID", true},
		{"*_KEY_*", "KEY_ID", false},
		{"*ab", "aab", true},
		{"*a*b", "aXbXab", true},
		{"a.b", "axb", false},
		{"a?", "ab", false},
		{"[ab]", "a", false},

		{"/a", "/a", true},
		{"/a", "/a/b", false},
		{"/a/*", "/a/b", true},
		{"/a/*", "/a", false},
		{"/a/*", "/a/b/c", false},
		{"/*/db", "/payments/db", true},
		{"/*/db", "/a/payments/db", false},
		{"/**", "/", true},
		{"/**", "/a/b/c", true},
		{"**", "/a/b/c", true},
		{"/a/**", "/a", true},
		{"/a/**", "/a/b", true},
		{"/a/**", "/a/b/c", true},
		{"/a/**", "/ab", false},
		{"/a/**", "/b/a", false},
		{"/**/db", "/db", true},
		{"/**/db", "/a/b/db", true},
		{"/**/db", "/a/bdb", false},
		{"/a/**/db", "/a/db", true},
		{"/a/**/db", "/a/x/y/db", true},
		{"/a/**/db", "/ax/db", false},
		{"/a/**/b*/c", "/a/b1/x/b2/c", true},
		{"/a/**/b*/c", "/a/b1/x/b2/d", false},
		{"/a**", "/ab/c", true},
		{"/**/x/**/y", "/x/q/x/y", true},
		{"/**/x/**/y", "/y/x", false},
	} {
		if got := policy.Match(tt.pattern, tt.name); got != tt.want {
			t.Errorf("Match(%q, %q) = %v, want %v", tt.pattern, tt.name, got, tt.want)
		}
	}
}

// reference says the same as Match in one regular expression.
func reference(pattern string) *regexp.Regexp {
	var text strings.Builder
	text.WriteString(`(?s)\A`)
	for p := 0; p < len(pattern); {
		rest := pattern[p:]
		switch {
		case rest == "/**" || strings.HasPrefix(rest, "/**/"):
			text.WriteString(`(?:/.*)?`)
			p += 3
		case strings.HasPrefix(rest, "**"):
			text.WriteString(`.*`)
			p += 2
		case rest[0] == '*':
			text.WriteString(`[^/\x00\x01]*`)
			p++
		default:
			text.WriteString(regexp.QuoteMeta(rest[:1]))
			p++
		}
	}
	text.WriteString(`\z`)
	return regexp.MustCompile(text.String())
}

// words are all strings over alphabet of at most length characters.
func words(alphabet string, length int) []string {
	all, last := []string{""}, []string{""}
	for range length {
		var next []string
		for _, word := range last {
			for _, c := range alphabet {
				next = append(next, word+string(c))
			}
		}
		all, last = append(all, next...), next
	}
	return all
}

func TestMatchAgreesWithTheReferenceOnEveryShortPatternAndName(t *testing.T) {
	names := words("ab/", 5)
	for _, pattern := range words("a/*", 5) {
		want := reference(pattern)
		for _, name := range names {
			if got := policy.Match(pattern, name); got != want.MatchString(name) {
				t.Fatalf("Match(%q, %q) = %v, the reference says %v", pattern, name, got, !got)
			}
		}
	}
}

func TestMatchAgreesWithTheReferenceOnLongerOnes(t *testing.T) {
	w := newWorld()
	for range 2_000 {
		pattern := w.word("aab//***", 14)
		want := reference(pattern)
		for range 20 {
			name := w.word("aab/", 16)
			if got := policy.Match(pattern, name); got != want.MatchString(name) {
				t.Fatalf("Match(%q, %q) = %v, the reference says %v", pattern, name, got, !got)
			}
		}
	}
}

func FuzzMatch(f *testing.F) {
	f.Add("/a/**/b*/c", "/a/b1/x/b2/c")
	f.Add("**a*a*b", "/aaa/aaab")
	f.Add("**/a*/*b/**", "/a/a/ab/bb/b")
	f.Add("*_KEY_*", "STRIPE_KEY_ID")
	f.Add("/**/x/**/y**z", "/x/q/x/yz/z")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if len(pattern) > 100 || !ascii(pattern) || !ascii(name) || strings.ContainsAny(name, "\x00\x01") {
			t.Skip("no pattern or name looks like this, and regexp reads runes")
		}
		if got, want := policy.Match(pattern, name), reference(pattern).MatchString(name); got != want {
			t.Errorf("Match(%q, %q) = %v, the reference says %v", pattern, name, got, want)
		}
	})
}

func ascii(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > 0x7e }) < 0
}
