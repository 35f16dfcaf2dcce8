package format_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hanzoai/kms/internal/format"
)

func TestDotenvHasThePlainestForm(t *testing.T) {
	for value, want := range map[string]string{
		"":                   "K=\n",
		"https://h:1/a,b@c%": "K=https://h:1/a,b@c%\n",
		`two $words`:         "K='two $words'\n",
		"line\nbreak":        "K='line\nbreak'\n",
		`it's`:               "K=\"it's\"\n",
		`it's "$5" \`:        "K=\"it's \\\"\\$5\\\" \\\\\"\n",
	} {
		got, err := format.Dotenv([]format.Pair{{"K", value}})
		if diff := cmp.Diff(want, string(got)); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	}
}
