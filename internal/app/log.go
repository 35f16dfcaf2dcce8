package app

import (
	"fmt"
	"io"
	"log/slog"
	"reflect"
)

// NewLogger is the log of a program: one JSON object a line with time (UTC,
// RFC 3339, milliseconds), level, msg and attributes.
//
// Attributes are scalars. A struct, map, slice or pointer is shown as the name
// of its type: encoding/json would print what is inside, and the LogValue of
// an api.Value is not asked there. An error is shown as its text.
func NewLogger(w io.Writer, level slog.Leveler) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: scalar}))
}

// scalar makes every attribute a scalar. slog calls it for the members of
// groups too, and after it has resolved LogValuers.
func scalar(_ []string, a slog.Attr) slog.Attr {
	switch a.Value.Kind() {
	case slog.KindTime:
		a.Value = slog.StringValue(a.Value.Time().UTC().Format("2006-01-02T15:04:05.000Z07:00"))
	case slog.KindAny:
		a.Value = scalarOf(a.Value.Any())
	}
	return a
}

func scalarOf(v any) slog.Value {
	switch v := v.(type) {
	case nil:
		return slog.AnyValue(nil)
	case slog.Level: // the record's own
		return slog.StringValue(v.String())
	case error:
		return slog.StringValue(fmt.Sprint(v)) // a nil pointer inside is no panic here
	}
	switch reflect.TypeOf(v).Kind() {
	case reflect.String, reflect.Bool,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64,
		reflect.Float32, reflect.Float64:
		return slog.StringValue(fmt.Sprint(v)) // a named scalar; its String method if it has one
	}
	return slog.StringValue(fmt.Sprintf("%T", v))
}
