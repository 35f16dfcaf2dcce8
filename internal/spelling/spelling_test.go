package spelling_test

import (
	"testing"

	"github.com/hanzoai/kms/internal/spelling"
)

func TestEachByteThatIsWrongCountsOnce(t *testing.T) {
	tests := []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"", "abc", 3},
		{"mode", "mode", 0},
		{"mod", "mode", 1},
		{"moode", "mode", 1},
		{"mobe", "mode", 1},
		{"mdoe", "mode", 2}, // a swap is two
		{"kitten", "sitting", 3},
		{"abc", "xyz", 3},
	}
	for _, test := range tests {
		if got := spelling.Distance(test.a, test.b); got != test.want {
			t.Errorf("Distance(%q, %q) = %d, want %d", test.a, test.b, got, test.want)
		}
		if got := spelling.Distance(test.b, test.a); got != test.want {
			t.Errorf("Distance(%q, %q) = %d, want %d", test.b, test.a, got, test.want)
		}
	}
}
