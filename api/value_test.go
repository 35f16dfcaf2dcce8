package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/hanzoai/kms/api"
)

func TestAValuePrintsAsRedactedHoweverItIsPrinted(t *testing.T) {
	const plain = "p4ss-w0rd"
	value := api.NewValue(plain)
	secret := api.Secret{SecretKey: "KEY", SecretValue: value, SecretComment: value, SecretMetadata: []api.Metadata{{Key: value, Value: value}}}
	var log strings.Builder
	for _, handler := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(handler).Info("m", "value", value, "pointer", &value, "secret", secret, "any", slog.AnyValue(secret))
	}
	texts := []string{log.String(), errors.Join(fmt.Errorf("%v", value), fmt.Errorf("%w", api.Errorf(api.ErrInvalid, "%s", value))).Error()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%10s", "%t"} {
		texts = append(texts, fmt.Sprintf(verb, value), fmt.Sprintf(verb, &value), fmt.Sprintf(verb, secret), fmt.Sprintf(verb, []api.Value{value}), fmt.Sprintf(verb, map[string]api.Value{"a": value}))
	}
	for _, v := range []any{value, &value, secret, map[string]any{"a": value}, map[api.Value]int{value: 1}} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Errorf("%T: %v", v, err)
		}
		texts = append(texts, string(text))
	}
	for _, text := range texts {
		if strings.Contains(text, plain) || strings.Contains(text, fmt.Sprintf("%x", plain)) || strings.Contains(text, fmt.Sprintf("%X", plain)) {
			t.Errorf("printed: %s", text)
		}
	}
	if value.Reveal() != plain || value.Len() != len(plain) || (api.Value{}).Reveal() != "" {
		t.Error("Reveal is not the way out")
	}
}

func TestAValueIsReadFromAJSONStringAlone(t *testing.T) {
	for text, want := range map[string]string{`"a"`: "a", `""`: "", `"\u0000\n\"é"`: "\x00\n\"é"} {
		var v api.Value
		if err := json.Unmarshal([]byte(text), &v); err != nil || v.Reveal() != want {
			t.Errorf("%s: %q, %v", text, v.Reveal(), err)
		}
	}
	for _, text := range []string{`1`, `true`, `["s3cret"]`, `{"s3cret":1}`} {
		var v api.Value
		if err := json.Unmarshal([]byte(text), &v); !errors.Is(err, api.ErrInvalid) || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// A value is read as encoding/json reads a string, or refused.
func FuzzAValueIsReadAsAString(f *testing.F) {
	for _, text := range []string{`"a"`, `""`, `"`, `"a"b"`, `"\u00e9"`, `"\n"`, "\"\x01\"", "\"\xff\"", `"\`, "null", "1", ` "a" `, `{"a":"b"}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var value api.Value
		err := value.UnmarshalJSON(data)
		var want string
		wrong := len(data) == 0 || data[0] != '"' || json.Unmarshal(data, &want) != nil
		if (err != nil) != wrong || err == nil && value.Reveal() != want {
			t.Errorf("%q: %q, %v; want %q", data, value.Reveal(), err, want)
		}
	})
}
