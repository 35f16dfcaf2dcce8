package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestTheLoadCountsAnswersAndRefusesWrongOnes(t *testing.T) {
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"tag"`)
		w.Header().Set("Content-Length", "5000")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(strings.Repeat("x", 5000)))
	}))
	defer server.Close()
	address := server.Listener.Addr().String()
	op := operation{"read", http.StatusOK, func(int) []byte { return request("read", "GET", "/", "", nil) }}

	r, err := ask(address, op)
	if err != nil || len(r.Body) != 5000 || r.ETag != `"tag"` {
		t.Errorf("ask: %d bytes, ETag %s, %v", len(r.Body), r.ETag, err)
	}
	nothing := func() error { return nil }
	l, err := dial(address, op, 4)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	latencies, err := l.run(context.Background(), 50*time.Millisecond, nothing, nothing)
	if err != nil || len(latencies) == 0 {
		t.Errorf("run: %d latencies, %v", len(latencies), err)
	}
	op.status = http.StatusNotModified
	wrong, err := dial(address, op, 2)
	if err != nil {
		t.Fatal(err)
	}
	defer wrong.close()
	if _, err := wrong.run(context.Background(), time.Hour, nothing, nothing); err == nil || !strings.Contains(err.Error(), "200") {
		t.Errorf("a wrong status: %v", err)
	}
}

func TestAServerThatEndsEndsTheLoad(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		if conn, err := listener.Accept(); err == nil {
			conn.Close()
		}
	}()
	l, err := dial(listener.Addr().String(), operation{"read", http.StatusOK, func(int) []byte { return request("read", "GET", "/", "", nil) }}, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	nothing := func() error { return nil }
	if _, err := l.run(context.Background(), time.Hour, nothing, nothing); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("run: %v", err)
	}
}

func TestPercentiles(t *testing.T) {
	var sorted []time.Duration
	for n := range 101 {
		sorted = append(sorted, time.Duration(n)*time.Millisecond)
	}
	if p50, p99 := percentile(sorted, 50), percentile(sorted, 99); p50 != 50 || p99 != 99 {
		t.Errorf("p50 %g, p99 %g", p50, p99)
	}
	if p := percentile(sorted[:1], 99); p != 0 {
		t.Errorf("of one: %g", p)
	}
}
