package format_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/hanzoai/kms/internal/format"
)

func TestAPairPrintsItsKeyOnly(t *testing.T) {
	pair := format.Pair{Key: "DB_URL", Value: "canary"}
	shapes := map[string]any{
		"pair": pair, "pointer": &pair, "slice": []format.Pair{pair}, "map": map[string]format.Pair{"x": pair}, "struct": struct{ P format.Pair }{pair},
	}
	for name, shape := range shapes {
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("message", "pair", shape)
		slog.New(slog.NewTextHandler(&log, nil)).Info("message", "pair", shape)
		encoded, err := json.Marshal(shape)
		if err != nil {
			t.Fatal(err)
		}
		printed := fmt.Sprintf("%v %+v %#v %s %q %x", shape, shape, shape, shape, shape, shape)
		for _, text := range []string{log.String(), printed, string(encoded), pair.String()} {
			if strings.Contains(text, "canary") || strings.Contains(text, fmt.Sprintf("%x", "canary")) {
				t.Errorf("%s printed the value: %s", name, text)
			}
			if name != "pointer" && !strings.Contains(text, "DB_URL") {
				t.Errorf("%s did not print the key: %s", name, text)
			}
		}
	}
}

func TestNamesOfVariables(t *testing.T) {
	for key, want := range map[string]bool{
		"DB_URL": true, "_": true, "a1": true, "z": true, "Z9_": true,
		"": false, "1ST": false, "a-b": false, "a.b": false, "A B": false, "A=": false, "Ä": false, "A\n": false, "A\x00": false,
	} {
		if got := format.IsVariable(key); got != want {
			t.Errorf("IsVariable(%q) = %v", key, got)
		}
	}
}
