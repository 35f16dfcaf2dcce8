package api

import "time"

// Time is a moment on the wire: RFC 3339 in UTC with milliseconds, the form
// that the clients of this dialect parse.
type Time struct{ time.Time }

const timeLayout = "2006-01-02T15:04:05.000Z"

// MarshalJSON writes the one form.
func (t Time) MarshalJSON() ([]byte, error) {
	return []byte(`"` + t.UTC().Format(timeLayout) + `"`), nil
}

// UnmarshalJSON reads any RFC 3339 time.
func (t *Time) UnmarshalJSON(data []byte) error { return t.Time.UnmarshalJSON(data) }

// Micros is the Time of microseconds since 1970, the form of the store.
func Micros(us int64) Time { return Time{time.UnixMicro(us).UTC()} }
