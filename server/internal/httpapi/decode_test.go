package httpapi_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/server/internal/httpapi"

	"github.com/google/go-cmp/cmp"
)

// sample has fields of every kind that bodies have.
type sample struct {
	SecretKey *string    `json:"secretKey"`
	Value     *api.Value `json:"secretValue"`
	Tags      *[]string  `json:"tagIds"`
	Version   *int64     `json:"version"`
	Skip      *bool      `json:"skip"`
	Inner     []struct {
		Key *string `json:"key"`
	} `json:"inner"`
}

func TestABodyThatIsNotOneThingIsRefused(t *testing.T) {
	deep := func(n int) string { return strings.Repeat(`{"x":`, n) + "1" + strings.Repeat("}", n) }
	for name, test := range map[string]struct{ body, want string }{
		"nothing": {"", ""}, "blanks": {" \r\n\t", ""}, "null": {"null", ""}, "empty": {"{}", ""}, "null fields": {`{"secretKey":null,"secretValue":null,"inner":null}`, ""},
		"unknown fields": {`{"unknown":[1,{"a":2}],"secretKey":"k"}`, ""}, "the same field in two objects": {`{"inner":[{"key":"a"},{"key":"b"}],"x":{"secretKey":"k"}}`, ""},
		"both halves": {`{"secretKey":"\ud83d\ude00"}`, ""}, "an escaped backslash before u": {`{"secretKey":"\\ud800"}`, ""}, "32 levels": {deep(32), ""},

		"text":               {"secret=" + canary, "not valid JSON"},
		"cut off":            {`{"secretKey":"` + canary, "not valid JSON"},
		"something behind":   {`{"secretKey":"a"} ` + canary, "not valid JSON"},
		"two objects":        {`{"secretKey":"a"}{"secretKey":"` + canary + `"}`, "not valid JSON"},
		"a comment":          {`{"secretKey":"a" /* ` + canary + ` */}`, "not valid JSON"},
		"a comma at the end": {`{"secretKey":"` + canary + `",}`, "not valid JSON"},
		"a byte order mark":  {"\xef\xbb\xbf{}", "not valid JSON"},
		"NaN":                {`{"version":NaN}`, "not valid JSON"},
		"a raw newline":      {"{\"secretKey\":\"a\n" + canary + "\"}", "not valid JSON"},
		"not UTF-8":          {"{\"secretKey\":\"" + canary + "\xff\"}", "not UTF-8"},
		"UTF-16":             {"{\x00}\x00\xfe", "not UTF-8"},
		"half a character":   {`{"secretKey":"` + canary + `\ud800"}`, "half of a character"},
		"the second half":    {`{"secretKey":"\udc00` + canary + `"}`, "half of a character"},
		"two first halves":   {`{"secretKey":"\ud800\ud800"}`, "half of a character"},
		"half, in a name":    {`{"x":{"\ud800x":1}}`, "half of a character"},
		"a list":             {`["` + canary + `"]`, "must be a JSON object"},
		"a string":           {`"` + canary + `"`, "must be a JSON object"},
		"a number":           {`1`, "must be a JSON object"},
		"twice":              {`{"secretKey":"a","secretKey":"` + canary + `"}`, "same field twice"},
		"twice, other case":  {`{"secretKey":"a","SECRETKEY":"` + canary + `"}`, "same field twice"},
		"twice, escaped":     {`{"secretKey":"a","secret\u004bey":"` + canary + `"}`, "same field twice"},
		"twice, long s":      {`{"secretKey":"a","` + "\u017f" + `ecretKey":"` + canary + `"}`, "same field twice"},
		"twice, Kelvin sign": {`{"secretKey":"a","secret` + "\u212a" + `ey":"` + canary + `"}`, "same field twice"},
		"twice, further in":  {`{"inner":[{"key":"a","KEY":"` + canary + `"}]}`, "same field twice"},
		"33 levels":          {deep(33), "nested deeper than 32"},
		"a million levels":   {strings.Repeat("[", 1_000_000), "not valid JSON"},
		"a key's type":       {`{"secretKey":1}`, "secretKey has the wrong type: give a string"},
		"a value's type":     {`{"secretValue":{"` + canary + `":1}}`, "must be a JSON string"},
		"a value's number":   {`{"secretValue":1}`, "must be a JSON string"},
		"a version's type":   {`{"version":"` + canary + `"}`, "version has the wrong type: give a whole number"},
		"a version's size":   {`{"version":99999999999999999999}`, "version has the wrong type: give a whole number"},
		"a broken version":   {`{"version":1.5}`, "version has the wrong type: give a whole number"},
		"a flag's type":      {`{"skip":"` + canary + `"}`, "skip has the wrong type: give true or false"},
		"a list's type":      {`{"tagIds":"` + canary + `"}`, "tagIds has the wrong type: give a list"},
		"a list's element":   {`{"tagIds":[1]}`, "tagIds"},
		"an inner type":      {`{"inner":[{"key":["` + canary + `"]}]}`, "inner.key has the wrong type: give a string"},
	} {
		var out sample
		err := httpapi.DecodeJSON([]byte(test.body), &out)
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case test.want == "":
		case err == nil:
			t.Errorf("%s is taken", name)
		case !errors.Is(err, api.ErrInvalid) || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), canary):
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
}

// FuzzDecode: what is taken is what encoding/json takes, decoded alike, and
// alike again when it is decoded into a map, which keeps the last of two
// fields where a struct may keep the first.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{"", "null", `{"secretKey":"a","secretValue":"b","tagIds":["c"],"version":3,"skip":true,"inner":[{"key":"k"}]}`, `{"SecretKey":"a","ſecretkey":"b"}`,
		`{"secretKey":"\ud83d\ude00\\"}`, `{"a":[[[[{"b":{}}]]]]}`, `{"secretKey":null}`, `[]`, `{"x":"\""}`, "{\"\xff\":1}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var got, want sample
		if err := httpapi.DecodeJSON(data, &got); err != nil {
			if !errors.Is(err, api.ErrInvalid) {
				t.Errorf("%q: %v is of another kind", data, err)
			}
			return
		}
		if len(strings.TrimSpace(string(data))) == 0 {
			return
		}
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatalf("%q is taken, but encoding/json says %v", data, err)
		}
		if diff := cmp.Diff(reveal(want), reveal(got)); diff != "" {
			t.Errorf("%q is decoded otherwise:\n%s", data, diff)
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(data, &fields); err != nil {
			t.Fatalf("%q is taken and no object: %v", data, err)
		}
		keys := 0
		for name := range fields {
			if strings.EqualFold(name, "secretKey") {
				keys++
			}
		}
		if keys > 1 {
			t.Errorf("%q is taken with %d fields for one", data, keys)
		}
	})
}

func reveal(s sample) map[string]any {
	out := map[string]any{"key": s.SecretKey, "tags": s.Tags, "version": s.Version, "skip": s.Skip, "inner": s.Inner}
	if s.Value != nil {
		out["value"] = s.Value.Reveal()
	}
	return out
}
