package markers_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hanzoai/kms/internal/markers"
)

func TestASectionIsReplacedAndNothingElse(t *testing.T) {
	const page = "# Title\n<!-- a -->\nold\n<!-- /a -->\nmine\n<!-- b -->\n<!-- /b -->\n"
	got, err := markers.Fill([]byte(page), map[string]string{"a": "new\n", "b": "more\n"})
	if err != nil {
		t.Fatal(err)
	}
	want := "# Title\n<!-- a -->\n\nnew\n\n<!-- /a -->\nmine\n<!-- b -->\n\nmore\n\n<!-- /b -->\n"
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Error(diff)
	}
	again, err := markers.Fill(got, map[string]string{"a": "new\n", "b": "more\n"})
	if err != nil || string(again) != want {
		t.Errorf("the second time: %v\n%s", err, again)
	}
}

func TestASectionWithoutItsMarkersIsAnError(t *testing.T) {
	for _, page := range []string{"", "<!-- a -->\n", "<!-- /a -->\n<!-- a -->\n"} {
		if _, err := markers.Fill([]byte(page), map[string]string{"a": "new\n"}); err == nil || !strings.Contains(err.Error(), "<!-- a -->") {
			t.Errorf("%q: %v", page, err)
		}
	}
}
