package main_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
)

// misbehave makes every list be answered by the handler; nil ends that.
func (s *server) misbehave(fault http.HandlerFunc) {
	if fault == nil {
		s.fault.Store(nil)
		return
	}
	s.fault.Store(&fault)
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fail(w, code) }
}

func page(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(code)
		io.WriteString(w, "<html><body>canary-page</body></html>")
	}
}

func text(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) }
}

func hangUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func half(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "1000")
	io.WriteString(w, `{"secrets":[{"secretKey":"A","secretValue":"canary-half`)
}

// flood answers 300 MB; known says whether that is announced.
func flood(known bool) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if known {
			w.Header().Set("Content-Length", strconv.Itoa(300<<20))
		}
		io.WriteString(w, `{"secrets":[{"secretKey":"A","secretValue":"`)
		piece := []byte(strings.Repeat("canary", 100<<10))
		for sent := 0; sent < 300<<20; sent += len(piece) {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	}
}

// expectSmall looks at the most memory that an agent ever had.
func expectSmall(t *testing.T, a *agent) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, peak, _ := strings.Cut(string(text), "VmHWM:")
	kilobytes, err := strconv.Atoi(strings.Fields(peak)[0])
	if err != nil || kilobytes > 40<<10 {
		t.Errorf("the agent had %d KiB, %v, want 40 MiB at most", kilobytes, err)
	}
}
