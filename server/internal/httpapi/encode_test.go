package httpapi_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/hanzoai/kms/server/internal/httpapi"
)

// FuzzAppendString: what is written is JSON on one line, without what old
// JavaScript takes for a line end, and means what encoding/json writes.
func FuzzAppendString(f *testing.F) {
	for _, seed := range []string{"", "plain", "\"\\/\b\f\n\r\t", "\x00\x1f\x7f", "<>&'", "é世\U0001f600\ufffd", "\u2028\u2029", "\xff\xc0\x80", "a\xe2\x80", strings.Repeat("\\", 9)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := httpapi.AppendString([]byte("before"), text)
		written, ok := bytes.CutPrefix(got, []byte("before"))
		if !ok || !json.Valid(written) || bytes.ContainsAny(written, "\r\n\u2028\u2029") {
			t.Fatalf("%q: %q", text, got)
		}
		standard, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		var one, other string
		if json.Unmarshal(written, &one) != nil || json.Unmarshal(standard, &other) != nil || one != other {
			t.Errorf("%q means %q, want %q", written, one, other)
		}
	})
}
