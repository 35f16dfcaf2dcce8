package api_test

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hanzoai/kms/api"
)

func checkRefusals(t *testing.T, parse func(string) (string, error), refused ...string) {
	t.Helper()
	for _, s := range refused {
		got, err := parse(s)
		if !errors.Is(err, api.ErrInvalid) || got != "" {
			t.Errorf("%.40q: %q, %v", s, got, err)
		} else if len(s) > 3 && strings.Contains(err.Error(), s) {
			t.Errorf("the error quotes what was given: %v", err)
		}
	}
}

func slug(s string) (string, error) { return api.ParseSlug("the slug", s) }

func TestASlugIsPlainAndNoID(t *testing.T) {
	for _, s := range []string{"a", "0", "hanzo-iam", "a--b", strings.Repeat("x", 64), "deadbeef-0000-7000-8000-00000000000g"} {
		if got, err := slug(s); err != nil || got != s {
			t.Errorf("%q: %q, %v", s, got, err)
		}
	}
	checkRefusals(t, slug, "", "-a", "a-", "-", "Abcd", "a_bc", "a bc", "a.bc", "a/bc", "ébcd", "\u0430bcd", "abcd\x00", strings.Repeat("x", 65), "01890000-0000-7000-8000-000000000000")
}

func TestAKeyIsPrintableASCII(t *testing.T) {
	for _, s := range []string{"A", "a.b-c_d", "...", "!", "~", "${X}", strings.Repeat("K", 255)} {
		if got, err := api.ParseKey(s); err != nil || got != s {
			t.Errorf("%q: %q, %v", s, got, err)
		}
	}
	checkRefusals(t, api.ParseKey, "", ".", "..", "A BC", " ABC", "A/BC", `A\BC`, "A:BC", "A\tBC", "A\x00BC", "A\x7fBC", "éABC", "\u0410BCD", "A\u200bBC", strings.Repeat("K", 256))
}

func TestAPathHasOneForm(t *testing.T) {
	deep := strings.Repeat("/d", 20)
	for s, want := range map[string]string{"": "/", "/": "/", "a": "/a", "/a": "/a", "a/": "/a", "/a/": "/a", "/a/b": "/a/b", "/A-b_9/": "/A-b_9", deep: deep, deep + "/": deep} {
		if got, err := api.ParsePath(s); err != nil || got != want {
			t.Errorf("%q: %q, %v, want %q", s, got, err, want)
		}
	}
	checkRefusals(t, api.ParsePath, "///", "//ab", "/a//b", "ab//", "/.", "/..", "/a/../b", "/a/./b", "/a b", `/a\b`, "/a.b", "/%2e%2e", "/a%2fb", "/éa", "/\uff0fa", "/a\x00", deep+"/d",
		"/"+strings.Repeat("x", 256), strings.Repeat("/"+strings.Repeat("x", 250), 9))
	if got := api.JoinPath("/", "a"); got != "/a" {
		t.Errorf("below the root: %q", got)
	}
	if got := api.JoinPath("/a", "b"); got != "/a/b" {
		t.Errorf("below a folder: %q", got)
	}
}

func TestATextHasNoControlCharacters(t *testing.T) {
	for _, s := range []string{"a", "Hanzo KMS", "é世界", strings.Repeat("é", 64)} {
		if _, err := api.ParseName("the name", s, 64); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
	for _, s := range []string{"", " ", "a ", "\ta", "a\x00b", "a\x1b[2J", "a\x7f", "\xff", strings.Repeat("é", 65)} {
		if _, err := api.ParseName("the name", s, 64); !errors.Is(err, api.ErrInvalid) {
			t.Errorf("the name %q: %v", s, err)
		}
	}
	for s, ok := range map[string]bool{"": true, "two\nlines\t": true, "\r": false, "\x00": false, "\xc3": false} {
		if _, err := api.ParseText("the text", s, 64); (err == nil) != ok {
			t.Errorf("the text %q: %v", s, err)
		}
	}
}

func TestAnIDIsALowerCaseUUID(t *testing.T) {
	for s, want := range map[string]bool{"01890000-0000-7000-8000-00000000abcd": true, "01890000-0000-7000-8000-00000000ABCD": false, "": false, "01890000000070008000000000000000": false,
		"01890000-0000-7000-8000-00000000000": false, "01890000_0000-7000-8000-000000000000": false, "g1890000-0000-7000-8000-000000000000": false} {
		if api.IsID(s) != want {
			t.Errorf("IsID(%q) = %v", s, !want)
		}
	}
}

var seeds = []string{"", "/", "//", "a", "/a/b/", ".", "..", "a..b", "a b", "é", "\x00", "\xff", "01890000-0000-7000-8000-000000000000", "-a", "%2e", strings.Repeat("/a", 25)}

// FuzzParsePath: what is taken becomes a form that is taken as itself and
// walks nowhere.
func FuzzParsePath(f *testing.F) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		path, err := api.ParsePath(s)
		if err != nil {
			if !errors.Is(err, api.ErrInvalid) || !utf8.ValidString(err.Error()) {
				t.Errorf("%q: %v", s, err)
			}
			return
		}
		if again, err := api.ParsePath(path); err != nil || again != path {
			t.Errorf("%q becomes %q and then %q, %v", s, path, again, err)
		}
		if path[0] != '/' || path != "/" && strings.HasSuffix(path, "/") || strings.Contains(path, "//") || strings.ContainsAny(path, ".\\%\x00 ") || len(path) > api.MaxPath+1 {
			t.Errorf("%q is taken as %q", s, path)
		}
	})
}

// FuzzParseKey: what is taken is taken as it is, and stays one segment of a
// URL and one word of a line.
func FuzzParseKey(f *testing.F) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		key, err := api.ParseKey(s)
		if err == nil && (key != s || key == "" || len(key) > api.MaxKey || strings.ContainsAny(key, "/\\: \t\r\n\x00") || key == "." || key == "..") {
			t.Errorf("%q is taken as %q", s, key)
		}
	})
}

// FuzzParseSlug: what is taken is taken as it is, and can be told from an id.
func FuzzParseSlug(f *testing.F) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := slug(s)
		if err == nil && (got != s || api.IsID(got) || strings.Trim(got, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || len(got) > api.MaxSlug) {
			t.Errorf("%q is taken as %q", s, got)
		}
	})
}
