package serve

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"strings"
)

// newErrorLog takes what net/http prints: mostly handshakes that failed, which
// anybody can cause, so it is for debugging. Only the trouble to accept (no
// file descriptors left) is the operator's.
func newErrorLog(logger *slog.Logger) *log.Logger {
	return log.New(errorLog{logger}, "", 0)
}

type errorLog struct{ log *slog.Logger }

// Write logs the first line up to the first quote: what net/http quotes is
// what a client or a handler sent, and further lines are a panic's.
func (e errorLog) Write(line []byte) (int, error) {
	text := string(line)
	if i := strings.IndexAny(text, "\"\r\n"); i >= 0 {
		text = text[:i]
	}
	level := slog.LevelDebug
	if strings.HasPrefix(text, "http: Accept error") {
		level = slog.LevelWarn
	}
	e.log.Log(context.Background(), level, "http server", "detail", text)
	return len(line), nil
}

// aborting ends the connection of a handler that panics, as net/http does, but
// logs no more of the panic than its type, for its text may hold a request's
// content. The stack has functions and lines, and of arguments only words.
func aborting(next http.Handler, logger *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if v != http.ErrAbortHandler {
				logger.Error("handler panicked", "panic", panicText(v), "stack", string(debug.Stack()))
			}
			panic(http.ErrAbortHandler)
		}()
		next.ServeHTTP(w, r)
	})
}

// panicText is the text of the runtime's own errors (index out of range, nil
// dereference), and of all others the type.
func panicText(v any) string {
	if err, ok := v.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("%T", v)
}
