package deliver_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hanzoai/kms/agent/config"
	"github.com/hanzoai/kms/agent/internal/deliver"
	"github.com/hanzoai/kms/sdk"
)

// keys answers the reads of single keys, and pages in place of those that it
// has not got.
type keys struct {
	values  map[string]string
	missing func(*http.Request) (*http.Response, error)
	asked   []string // "KEY", or "KEY if it changed"
}

func (k *keys) RoundTrip(r *http.Request) (*http.Response, error) {
	key := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	value, there := k.values[key]
	tag, asked := fmt.Sprintf("%q", value), r.Header.Get("If-None-Match")
	if asked == "" {
		k.asked = append(k.asked, key)
	} else {
		k.asked = append(k.asked, key+" if it changed")
	}
	w := httptest.NewRecorder()
	w.Header().Set("ETag", tag)
	switch {
	case !there:
		return k.missing(r)
	case asked == tag:
		w.WriteHeader(http.StatusNotModified)
	default:
		fmt.Fprintf(w, `{"secret":{"secretKey":%q,"secretValue":%q,"secretPath":"/","version":1}}`, key, value)
	}
	return w.Result(), nil
}

func (k *keys) fetch(t *testing.T, last deliver.Cursor, sources ...config.Source) (words []string, missing []string, now deliver.Cursor, err error) {
	client := sdk.NewClient(sdk.Config{AccessToken: "token", Transport: k, MaxRetries: -1})
	k.asked = nil
	set, now, _, err := deliver.Fetch(t.Context(), client, sources, last)
	for _, s := range set.Secrets {
		words = append(words, s.Name+"="+s.Value)
	}
	return words, set.Missing, now, err
}

func TestOnlyTheServerItselfSaysThatAKeyIsMissing(t *testing.T) {
	tests := []struct {
		name    string
		answer  func(*http.Request) (*http.Response, error)
		missing []string
		want    deliver.Reason
	}{
		{"the server", answerWith(http.StatusNotFound, ""), []string{"B"}, ""},
		{"an ingress without a backend", answerWith(http.StatusNotFound, "default backend - 404"), nil, deliver.NotFound},
		{"another program", answerWith(http.StatusNotFound, `{"message":"no Route matched"}`), nil, deliver.NotFound},
		{"a refusal", answerWith(http.StatusForbidden, ""), nil, deliver.Forbidden},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			k := &keys{values: map[string]string{"A": "1"}, missing: test.answer}
			source := config.Source{Project: "app", Environment: "prod", Path: "/", Keys: []string{"A", "B"}}
			_, missing, _, err := k.fetch(t, nil, source)
			if diff := cmp.Diff(test.missing, missing); diff != "" {
				t.Error(diff)
			}
			if (err == nil) != (test.want == "") || err != nil && deliver.ReasonOf(err) != test.want {
				t.Errorf("Fetch: %v, want %q", err, test.want)
			}
		})
	}
}

func TestWhatDidNotChangeIsReadAgainOnlyBesideAChange(t *testing.T) {
	k := &keys{values: map[string]string{"A": "1", "B": "1"}, missing: answerWith(http.StatusNotFound, "")}
	source := config.Source{Project: "app", Environment: "prod", Path: "/", Keys: []string{"A", "B", "C"}}
	steps := []struct {
		name   string
		change func()
		asked  []string
		words  []string
	}{
		{"the first time", func() {}, []string{"A", "B", "C"}, []string{"A=1", "B=1"}},
		{"nothing changed", func() {}, []string{"A if it changed", "B if it changed", "C"}, nil},
		{"one changed", func() { k.values["B"] = "2" }, []string{"A if it changed", "B if it changed", "C", "A"}, []string{"A=1", "B=2"}},
		{"one came", func() { k.values["C"] = "2" }, []string{"A if it changed", "B if it changed", "C", "A", "B"}, []string{"A=1", "B=2", "C=2"}},
		{"one went", func() { delete(k.values, "A") }, []string{"A if it changed", "B if it changed", "C if it changed", "B", "C"}, []string{"B=2", "C=2"}},
	}
	var last deliver.Cursor
	for _, step := range steps {
		step.change()
		words, _, now, err := k.fetch(t, last, source)
		if err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if diff := cmp.Diff([][]string{step.asked, step.words}, [][]string{k.asked, words}); diff != "" {
			t.Errorf("%s: %s", step.name, diff)
		}
		last = now
	}
}

func TestTwoSourcesThatDeliverOneNameAreRefusedWithBothPlaces(t *testing.T) {
	k := &keys{values: map[string]string{"A": "canary", "B": "canary"}}
	_, _, _, err := k.fetch(t, nil,
		config.Source{Project: "app", Environment: "prod", Path: "/", Keys: []string{"A"}, Prefix: "X_"},
		config.Source{Project: "other", Environment: "prod", Path: "/", Keys: []string{"B"}, Rename: map[string]string{"B": "X_A"}})
	if got := fmt.Sprint(err); deliver.ReasonOf(err) != deliver.BadConfig || !strings.Contains(got, `"X_A" comes from app prod:/ key A and from other prod:/ key B`) || strings.Contains(got, "canary") {
		t.Errorf("Fetch: %v", err)
	}
}
