package format

import (
	"fmt"
	"log/slog"
	"strings"
	"unicode/utf8"

	"github.com/hanzoai/kms/api"
)

// Pair is one secret: its name in the set and its value. Printed through fmt,
// slog or JSON it is its key, never the value.
type Pair struct{ Key, Value string }

// String, Format, LogValue and MarshalText are the key. JSON needs the last:
// slog hands it the slices and structs that hold a Pair.
func (p Pair) String() string                { return p.Key }
func (p Pair) Format(f fmt.State, verb rune) { fmt.Fprint(f, p.Key) }
func (p Pair) LogValue() slog.Value          { return slog.StringValue(p.Key) }
func (p Pair) MarshalText() ([]byte, error)  { return []byte(p.Key), nil }

// IsVariable reports whether key can be the name of a variable: letters,
// digits and '_', not beginning with a digit.
func IsVariable(key string) bool {
	return key != "" && strings.Contains(letters, key[:1]) && strings.Trim(key, letters+digits) == ""
}

const (
	letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
	digits  = "0123456789"
)

// checkVariables refuses what cannot be variables. form is in the errors.
func checkVariables(form string, pairs []Pair) error {
	for _, p := range pairs {
		if !IsVariable(p.Key) {
			return api.Errorf(api.ErrInvalid, "the key %q cannot be the name of a variable in %s: rename it to letters, digits and '_', not beginning with a digit", p.Key, form)
		}
		if strings.Contains(p.Value, "\x00") {
			return api.Errorf(api.ErrInvalid, "the value of %q holds a zero byte, which no variable in %s can: leave it out, or give it as a file of its own", p.Key, form)
		}
	}
	return checkNames(form, pairs)
}

// checkText refuses what is not text. form is in the errors.
func checkText(form string, pairs []Pair) error {
	for _, p := range pairs {
		if !utf8.ValidString(p.Key) {
			return api.Errorf(api.ErrInvalid, "the key %q is not UTF-8, which %s has to be: rename it", p.Key, form)
		}
		if !utf8.ValidString(p.Value) {
			return api.Errorf(api.ErrInvalid, "the value of %q is not UTF-8, which %s has to be: give it as base64, or as a file of its own", p.Key, form)
		}
	}
	return checkNames(form, pairs)
}

// checkNames refuses two pairs of one name: readers differ in which of them
// they take.
func checkNames(form string, pairs []Pair) error {
	seen := make(map[string]bool, len(pairs))
	for _, p := range pairs {
		if seen[p.Key] {
			return api.Errorf(api.ErrInvalid, "two secrets have the name %q in %s: rename one of them", p.Key, form)
		}
		seen[p.Key] = true
	}
	return nil
}
