package app_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/internal/app"
)

type action string

type weekday int

func (weekday) String() string { return "Monday" }

type request struct {
	Path  string
	Value string
}

// String shows why a Stringer is no proof of safety.
func (r request) String() string { return r.Value }

type failure struct{ request }

func (failure) Error() string { return "it failed" }

type grouped struct{ secret request }

func (g grouped) LogValue() slog.Value {
	return slog.GroupValue(slog.String("path", "/a"), slog.Any("request", g.secret))
}

func TestAnAttributeIsAScalarOrTheNameOfItsType(t *testing.T) {
	planted := request{Path: "/a", Value: canary}
	value := api.NewValue(canary)
	var noFailure *failure
	tests := []struct {
		name string
		attr slog.Attr
		want any
	}{
		{"text", slog.String("x", "a"), "a"},
		{"number", slog.Int("x", 3), 3.0},
		{"truth", slog.Bool("x", true), true},
		{"duration", slog.Duration("x", time.Second), 1e9},
		{"time", slog.Time("x", time.Date(2026, 1, 2, 3, 4, 5, 678912345, time.FixedZone("", 3600))), "2026-01-02T02:04:05.678Z"},
		{"named text", slog.Any("x", action("read")), "read"},
		{"named number with a text", slog.Any("x", weekday(1)), "Monday"},
		{"nil", slog.Any("x", nil), nil},
		{"error", slog.Any("x", fmt.Errorf("open: %w", fs.ErrNotExist)), "open: file does not exist"},
		{"error that is a struct", slog.Any("x", failure{planted}), "it failed"},
		{"error that is a nil pointer", slog.Any("x", noFailure), "<nil>"},
		{"value", slog.Any("x", value), "[redacted]"},
		{"pointer to a value", slog.Any("x", &value), "[redacted]"},
		{"struct", slog.Any("x", planted), "app_test.request"},
		{"pointer to a struct", slog.Any("x", &planted), "*app_test.request"},
		{"slice", slog.Any("x", []string{canary}), "[]string"},
		{"bytes", slog.Any("x", []byte(canary)), "[]uint8"},
		{"raw JSON", slog.Any("x", json.RawMessage(`"`+canary+`"`)), "json.RawMessage"},
		{"map", slog.Any("x", map[string]string{"a": canary}), "map[string]string"},
		{"array", slog.Any("x", [1]string{canary}), "[1]string"},
		{"function", slog.Any("x", func() string { return canary }), "func() string"},
		{"slice of values", slog.Any("x", []api.Value{value}), "[]api.Value"},
		{"group", slog.Group("x", "a", planted), map[string]any{"a": "app_test.request"}},
		{"LogValuer", slog.Any("x", grouped{planted}), map[string]any{"path": "/a", "request": "app_test.request"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, line := range logged(tt.attr) {
				for _, form := range []string{canary, base64.StdEncoding.EncodeToString([]byte(canary))} {
					if strings.Contains(line, form) {
						t.Fatalf("the secret came out: %s", line)
					}
				}
				var record map[string]any
				if err := json.Unmarshal([]byte(line), &record); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tt.want, record["x"]); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			}
		})
	}
}

// logged is the line of a record with attr, and that of a logger that has it.
func logged(attr slog.Attr) [2]string {
	var direct, with bytes.Buffer
	app.NewLogger(&direct, slog.LevelInfo).Info("m", attr)
	app.NewLogger(&with, slog.LevelInfo).With(attr).Info("m")
	return [2]string{direct.String(), with.String()}
}

func TestALineHasTimeLevelAndMessageFirst(t *testing.T) {
	var out bytes.Buffer
	app.NewLogger(&out, slog.LevelInfo).Warn("it rains", "err", errors.New("wet"))
	var record struct{ Time, Level, Msg, Err string }
	if err := json.Unmarshal(out.Bytes(), &record); err != nil {
		t.Fatal(err)
	}
	at, err := time.Parse("2006-01-02T15:04:05.000Z", record.Time)
	if err != nil || at.IsZero() {
		t.Errorf("time %q: %v", record.Time, err)
	}
	if record.Level != "WARN" || record.Msg != "it rains" || record.Err != "wet" {
		t.Errorf("got %s", out.String())
	}
}

func TestTheLevelFollowsItsVariable(t *testing.T) {
	var out bytes.Buffer
	var level slog.LevelVar
	log := app.NewLogger(&out, &level)
	log.Debug("quiet")
	level.Set(slog.LevelDebug)
	log.Debug("loud")
	if got := out.String(); strings.Contains(got, "quiet") || !strings.Contains(got, "loud") {
		t.Errorf("got %s", got)
	}
}
