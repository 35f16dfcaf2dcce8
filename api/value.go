package api

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"unicode/utf8"
)

// Value is plaintext: the value, comment or metadata of a secret, a client
// secret, a token. Printed through fmt, slog or JSON it says [redacted]; the
// one way out is Reveal, which only response encoders, file writers and
// cryptography call. The zero Value is the empty string.
type Value struct{ plain string }

const redacted = "[redacted]"

// NewValue makes plaintext of s.
func NewValue(s string) Value { return Value{s} }

// Reveal is the plaintext itself. A call of it is a place to review.
func (v Value) Reveal() string { return v.plain }

// Len is the plaintext's length in bytes.
func (v Value) Len() int { return len(v.plain) }

// String, GoString, Format, LogValue, MarshalJSON and MarshalText redact.
func (v Value) String() string                { return redacted }
func (v Value) GoString() string              { return redacted }
func (v Value) Format(f fmt.State, verb rune) { fmt.Fprint(f, redacted) }
func (v Value) LogValue() slog.Value          { return slog.StringValue(redacted) }
func (v Value) MarshalJSON() ([]byte, error)  { return []byte(`"` + redacted + `"`), nil }
func (v Value) MarshalText() ([]byte, error)  { return []byte(redacted), nil }

// UnmarshalJSON takes a JSON string.
func (v *Value) UnmarshalJSON(data []byte) error {
	if isPlain(data) {
		v.plain = string(data[1 : len(data)-1])
		return nil
	}
	// The error of encoding/json would quote the input, which is plaintext.
	if len(data) == 0 || data[0] != '"' || json.Unmarshal(data, &v.plain) != nil {
		return Errorf(ErrInvalid, "a secret value must be a JSON string")
	}
	return nil
}

// isPlain reports whether data is a JSON string without escapes. Nearly all
// values are, and it takes a fraction of the time to copy one.
func isPlain(data []byte) bool {
	last := len(data) - 1
	if last < 1 || data[0] != '"' || data[last] != '"' || !utf8.Valid(data) {
		return false
	}
	for _, c := range data[1:last] {
		if c < ' ' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
