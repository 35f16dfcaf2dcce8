package api_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/hanzoai/kms/api"
)

func TestATimeHasMillisecondsAndZ(t *testing.T) {
	berlin := time.FixedZone("", 3600)
	for want, at := range map[string]api.Time{
		`"2026-01-02T03:04:05.000Z"`: {Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)},
		`"2026-01-02T03:04:05.006Z"`: {Time: time.Date(2026, 1, 2, 4, 4, 5, 6_999_999, berlin)},
		`"1970-01-01T00:00:00.001Z"`: api.Micros(1_999),
		`"0001-01-01T00:00:00.000Z"`: {},
	} {
		got, err := json.Marshal(at)
		if err != nil || string(got) != want {
			t.Errorf("%s, %v, want %s", got, err, want)
		}
		var back api.Time
		if err := json.Unmarshal(got, &back); err != nil || !back.Equal(at.Truncate(time.Millisecond)) {
			t.Errorf("%s is read as %v, %v", got, back, err)
		}
	}
	var back api.Time
	if err := json.Unmarshal([]byte(`"2026-01-02T04:04:05+01:00"`), &back); err != nil || !back.Equal(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)) {
		t.Errorf("another zone: %v, %v", back, err)
	}
	if err := json.Unmarshal([]byte(`"yesterday"`), &back); err == nil {
		t.Error("yesterday is a time")
	}
}
