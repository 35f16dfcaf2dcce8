package main

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hanzoai/kms/injector/internal/inject"
)

func TestThePageIsOfThisTable(t *testing.T) {
	const page = "../../../../../docs/annotations.md"
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	want, err := fill(got, list(inject.Groups()))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s is stale, run go generate ./injector/...:\n%s", page, diff)
	}
}

func TestTheListIsReplacedAndNothingElse(t *testing.T) {
	const page = "# Title\n<!-- annotations -->\nold\n<!-- /annotations -->\nmine\n"
	got, err := fill([]byte(page), "new\n")
	if want := "# Title\n<!-- annotations -->\n\nnew\n\n<!-- /annotations -->\nmine\n"; err != nil || string(got) != want {
		t.Errorf("%v\n%s", err, got)
	}
	again, err := fill(got, "new\n")
	if err != nil || string(again) != string(got) {
		t.Errorf("the second time: %v\n%s", err, again)
	}
}

func TestAPageWithoutMarkersIsAnError(t *testing.T) {
	for _, page := range []string{"", "<!-- annotations -->\n", "<!-- /annotations --><!-- annotations -->\n"} {
		if _, err := fill([]byte(page), "new\n"); err == nil || !strings.Contains(err.Error(), "<!-- annotations -->") {
			t.Errorf("%q: %v", page, err)
		}
	}
}

func TestAnAnnotationIsOneLine(t *testing.T) {
	for _, test := range []struct {
		annotation inject.Annotation
		want       string
	}{
		{inject.Annotation{Name: "a", Type: inject.Text, Doc: `Is "b".`}, "- `kms.hanzo.ai/a` (text): Is `b`.\n"},
		{inject.Annotation{Name: "a-", Type: inject.Choice, Choices: []string{"x", "y"}, Default: "x", Doc: "Is."}, "- `kms.hanzo.ai/a-<n>` (`x`, `y`; default `x`): Is.\n"},
	} {
		got := list([]inject.Group{{Title: "T", Annotations: []inject.Annotation{test.annotation}}})
		if diff := cmp.Diff("### T\n\n"+test.want, got); diff != "" {
			t.Error(diff)
		}
	}
}
