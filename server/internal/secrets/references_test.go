package secrets_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hanzoai/kms/server/internal/secrets"
	"github.com/hanzoai/kms/server/internal/store"

	"github.com/google/go-cmp/cmp"
)

func TestAReferenceIsFoundWhereItHasItsForm(t *testing.T) {
	for _, test := range []struct {
		value string
		want  []store.Reference
	}{
		{"", nil}, {"plain $HOME ${", nil}, {"${}", nil}, {"${A", nil}, {"${A B}", nil}, {"${a..b}", nil}, {"${a/b}", nil}, {"${é}", nil}, {"${@p.dev.A}", nil},
		{"${A}", []store.Reference{{Text: "A", Key: "A"}}},
		{"x${A}y${A}z${B-1_}", []store.Reference{{Text: "A", Key: "A"}, {Text: "B-1_", Key: "B-1_"}}},
		{"${dev.A}", []store.Reference{{Text: "dev.A", Environment: "dev", Path: "/", Key: "A"}}},
		{"${dev.a.b.A}", []store.Reference{{Text: "dev.a.b.A", Environment: "dev", Path: "/a/b", Key: "A"}}},
		{"${${A}}", []store.Reference{{Text: "A", Key: "A"}}},
		{"${a ${A}", []store.Reference{{Text: "A", Key: "A"}}},
		{"${" + strings.Repeat("a.", 21) + "A}", []store.Reference{{Text: strings.Repeat("a.", 21) + "A", Environment: "a", Path: strings.Repeat("/a", 20), Key: "A"}}},
		{"${" + strings.Repeat("a.", 22) + "A}", nil},
	} {
		got, err := secrets.ParseReferences(test.value)
		if err != nil {
			t.Errorf("%s: %v", test.value, err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.value, diff)
		}
	}
	var many strings.Builder
	for i := range 100 {
		fmt.Fprintf(&many, "${K%d}", i)
	}
	if got, err := secrets.ParseReferences(many.String()); err != nil || len(got) != 100 {
		t.Errorf("100 references: %d, %v", len(got), err)
	}
	if _, err := secrets.ParseReferences(many.String() + "${SECRET}"); err == nil || strings.Contains(err.Error(), "SECRET") {
		t.Errorf("101 references: %v", err)
	}
}

// What is found is in the value with its braces, names something, and is found
// again in the same way.
func FuzzParseReferences(f *testing.F) {
	for _, seed := range []string{"", "${A}", "${dev.a.b.KEY} and ${KEY}", "${${A}}", "${a..b}", "${", "${}", "$${A}}", "${é}\x00\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		found, err := secrets.ParseReferences(value)
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, ref := range found {
			if !strings.Contains(value, "${"+ref.Text+"}") || ref.Key == "" || seen[ref.Text] || (ref.Environment == "") != (ref.Path == "") {
				t.Errorf("%q: %+v", value, ref)
			}
			seen[ref.Text] = true
			alone, err := secrets.ParseReferences("${" + ref.Text + "}")
			if diff := cmp.Diff([]store.Reference{ref}, alone); err != nil || diff != "" {
				t.Errorf("%q alone: %v %s", ref.Text, err, diff)
			}
		}
	})
}
