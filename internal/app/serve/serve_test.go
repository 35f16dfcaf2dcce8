package serve_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hanzoai/kms/internal/app/serve"
	"github.com/hanzoai/kms/internal/transcript"
)

// logBuffer is a log that may be read while the server writes it.
type logBuffer struct{ transcript.Transcript }

func (b *logBuffer) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// start runs a server on a free port until the test ends; stop ends it before
// and waits for it.
func start(t *testing.T, cfg serve.Config) (addr string, stop func()) {
	t.Helper()
	cfg.Addr = "127.0.0.1:0"
	server, err := serve.Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return server.Addr().String(), stop
}

func hello(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }

// dial is a bare connection that gives up after a time no test should need.
func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(time.Minute))
	return conn
}

func client(t *testing.T, config *tls.Config) *http.Client {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	transport := &http.Transport{TLSClientConfig: config, Protocols: &protocols, DisableKeepAlives: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: time.Minute}
}

func trusting(certificate tls.Certificate) *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(certificate.Leaf)
	return &tls.Config{RootCAs: roots}
}

func body(t *testing.T, resp *http.Response, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestAWrongConfigurationIsRefusedAtTheStart(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	files := newFiles(t)
	handler := http.HandlerFunc(hello)
	tests := []struct {
		name string
		cfg  serve.Config
		want string
	}{
		{"no handler", serve.Config{Addr: "127.0.0.1:0"}, "Handler is missing"},
		{"an address in use", serve.Config{Addr: taken.Addr().String(), Handler: handler}, "listen on " + taken.Addr().String()},
		{"a certificate without its key", serve.Config{Addr: "127.0.0.1:0", Handler: handler, CertFile: files.cert}, "one of them is missing"},
		{"a key without its certificate", serve.Config{Addr: "127.0.0.1:0", Handler: handler, KeyFile: files.key}, "one of them is missing"},
		{"certificates from two places", serve.Config{Addr: "127.0.0.1:0", Handler: handler, CertFile: files.cert, KeyFile: files.key, TLS: &tls.Config{}}, "one of them is too much"},
		{"a certificate that is not there", serve.Config{Addr: "127.0.0.1:0", Handler: handler, CertFile: files.cert, KeyFile: files.key}, files.cert},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server, err := serve.Listen(tt.cfg)
			if err == nil {
				server.Close()
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %q, want %q in it", err, tt.want)
			}
		})
	}
}

func TestPlainHTTPIsServedAndHTTP2NotOnIt(t *testing.T) {
	addr, _ := start(t, serve.Config{Handler: http.HandlerFunc(hello)})
	resp, err := client(t, nil).Get("http://" + addr)
	if got := body(t, resp, err); got != "hello" || resp.ProtoMajor != 1 {
		t.Errorf("got %q over %s", got, resp.Proto)
	}
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &protocols}
	defer transport.CloseIdleConnections()
	if resp, err := (&http.Client{Transport: transport, Timeout: time.Minute}).Get("http://" + addr); err == nil {
		resp.Body.Close()
		t.Errorf("HTTP/2 without TLS got %s", resp.Status)
	}
}

func TestAClientThatIsSlowIsCutOff(t *testing.T) {
	files := newFiles(t)
	files.write(t, newCertificate(t, 1))
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err == nil {
			t.Error("the whole body arrived")
		}
	})
	tests := []struct {
		name     string
		cfg      serve.Config
		send     string
		answered bool // by the handler
	}{
		{"that sends nothing", serve.Config{ReadHeaderTimeout: time.Millisecond}, "", false},
		{"with its headers", serve.Config{ReadHeaderTimeout: time.Millisecond}, "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ", false},
		{"with its body", serve.Config{ReadTimeout: time.Second}, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345", true},
		{"with its handshake", serve.Config{ReadHeaderTimeout: time.Millisecond, CertFile: files.cert, KeyFile: files.key}, "\x16\x03\x01", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.Handler = handler
			addr, _ := start(t, tt.cfg)
			conn := dial(t, addr)
			io.WriteString(conn, tt.send)
			answer, err := io.ReadAll(conn)
			if isTimeout(err) {
				t.Error("the server kept the connection")
			}
			if (len(answer) > 0) != tt.answered {
				t.Errorf("got answer %q", answer)
			}
		})
	}
}

func isTimeout(err error) bool {
	var netError net.Error
	return errors.As(err, &netError) && netError.Timeout()
}

func TestHeadersThatAreTooLargeAreRefused(t *testing.T) {
	files := newFiles(t)
	certificate := newCertificate(t, 1)
	files.write(t, certificate)
	handler := http.HandlerFunc(hello)
	plain, _ := start(t, serve.Config{Handler: handler})
	secure, _ := start(t, serve.Config{Handler: handler, CertFile: files.cert, KeyFile: files.key})
	tests := []struct {
		url   string
		bytes int
		want  int // 0: a client of HTTP/2 is told the limit and does not send
	}{
		{"http://" + plain, 15 << 10, http.StatusOK},
		{"http://" + plain, 21 << 10, http.StatusRequestHeaderFieldsTooLarge},
		{"https://" + secure, 15 << 10, http.StatusOK},
		{"https://" + secure, 21 << 10, 0},
	}
	for _, tt := range tests {
		req, err := http.NewRequest("GET", tt.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Large", strings.Repeat("a", tt.bytes))
		status := 0
		if resp, err := client(t, trusting(certificate)).Do(req); err == nil {
			body(t, resp, nil)
			status = resp.StatusCode
		}
		if status != tt.want {
			t.Errorf("%s with %d bytes: got status %d, want %d", req.URL.Scheme, tt.bytes, status, tt.want)
		}
	}
}

func TestAResponseThatNobodyReadsIsCutOff(t *testing.T) {
	gaveUp := make(chan struct{})
	addr, _ := start(t, serve.Config{WriteTimeout: time.Second, Handler: http.HandlerFunc(
		func(w http.ResponseWriter, _ *http.Request) {
			defer close(gaveUp)
			for {
				if _, err := w.Write(make([]byte, 64<<10)); err != nil {
					return
				}
			}
		})})
	fmt.Fprint(dial(t, addr), "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	<-gaveUp
}

func TestAStreamThatMovesItsDeadlineOutlivesTheTimeouts(t *testing.T) {
	files := newFiles(t)
	certificate := newCertificate(t, 1)
	files.write(t, certificate)
	cfg := serve.Config{ReadTimeout: time.Second, WriteTimeout: time.Second}
	cfg.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(w).SetWriteDeadline(time.Time{}); err != nil {
			t.Error(err)
		}
		select {
		case <-r.Context().Done():
		case <-time.After(2 * cfg.WriteTimeout): // what the test is about: real sockets know real time only
			io.WriteString(w, "event")
		}
	})
	plain, _ := start(t, cfg)
	cfg.CertFile, cfg.KeyFile = files.cert, files.key
	secure, _ := start(t, cfg)
	for _, url := range []string{"http://" + plain, "https://" + secure} {
		t.Run(url[:5], func(t *testing.T) {
			t.Parallel()
			resp, err := client(t, trusting(certificate)).Get(url)
			if got := body(t, resp, err); got != "event" {
				t.Errorf("over %s: got %q", resp.Proto, got)
			}
		})
	}
}

func TestAPanicEndsItsRequestAndItsTextStaysInside(t *testing.T) {
	tests := []struct {
		name  string
		panic func()
		want  string // in the log
	}{
		{"with content", func() { panic("c4nary") }, "panic=string"},
		{"with an error", func() { panic(errors.New("c4nary")) }, "panic=*errors.errorString"},
		{"of the runtime", func() { _ = []int{}[len(strings.TrimSpace(" "))] }, "index out of range [0] with length 0"},
		{"that aborts on purpose", func() { panic(http.ErrAbortHandler) }, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var log logBuffer
			addr, stop := start(t, serve.Config{Logger: log.logger(), Handler: http.HandlerFunc(
				func(http.ResponseWriter, *http.Request) { tt.panic() })})
			if resp, err := client(t, nil).Get("http://" + addr); err == nil {
				t.Errorf("got %s, want the connection cut", resp.Status)
				resp.Body.Close()
			}
			stop()
			got := log.String()
			if strings.Contains(got, "c4nary") {
				t.Errorf("the panic's text is in the log: %s", got)
			}
			if !strings.Contains(got, tt.want) || (tt.want == "") != (got == "") {
				t.Errorf("got log %q, want %q in it", got, tt.want)
			}
			if tt.want != "" && !strings.Contains(got, "serve_test.go") {
				t.Errorf("the log has no stack: %s", got)
			}
		})
	}
}

func TestWhatNetHTTPPrintsIsForDebuggingAndQuotesNothing(t *testing.T) {
	var log logBuffer
	addr, stop := start(t, serve.Config{Logger: log.logger(), Handler: http.HandlerFunc(
		func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "c4nary") })})
	resp, err := client(t, nil).Get("http://" + addr)
	body(t, resp, err)
	stop()
	got := log.String()
	if !strings.Contains(got, "level=DEBUG msg=\"http server\"") || !strings.Contains(got, "invalid Content-Length of") {
		t.Errorf("got log %q", got)
	}
	if strings.Contains(got, "c4nary") {
		t.Errorf("a header's content is in the log: %s", got)
	}
}

func TestARequestUnderWayIsFinishedInTheDrain(t *testing.T) {
	started, finish := make(chan struct{}), make(chan struct{})
	addr, stop := start(t, serve.Config{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(started)
		<-finish
		hello(w, r)
	})})
	conn := dial(t, addr)
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	<-started
	stopped := make(chan struct{})
	go func() { stop(); close(stopped) }()
	for { // until the listener is closed
		late, err := net.Dial("tcp", addr)
		if err != nil {
			break
		}
		late.Close()
	}
	select {
	case <-stopped:
		t.Error("Run returned before the request was finished")
	default:
	}
	close(finish)
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasSuffix(string(answer), "hello") {
		t.Errorf("got %q, %v", answer, err)
	}
	<-stopped
}

func TestARequestThatOutlastsTheGraceIsCutOff(t *testing.T) {
	started, ended := make(chan struct{}), make(chan struct{})
	var log logBuffer
	addr, stop := start(t, serve.Config{Grace: time.Millisecond, Logger: log.logger(), Handler: http.HandlerFunc(
		func(_ http.ResponseWriter, r *http.Request) {
			close(started)
			<-r.Context().Done()
			close(ended)
		})})
	conn := dial(t, addr)
	fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	<-started
	stop()
	<-ended
	if got := log.String(); !strings.Contains(got, "drain ended with requests under way") {
		t.Errorf("got log %q", got)
	}
}

func TestRunWithAContextThatIsDoneEndsAndFreesThePort(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	server, err := serve.Listen(serve.Config{Addr: "127.0.0.1:0", Handler: http.HandlerFunc(hello)})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Run(ctx); err != nil {
		t.Error(err)
	}
	if conn, err := net.Dial("tcp", server.Addr().String()); err == nil {
		conn.Close()
		t.Error("the port is still open")
	}
}

func TestRunSaysWhyServingEnded(t *testing.T) {
	server, err := serve.Listen(serve.Config{Addr: "127.0.0.1:0", Handler: http.HandlerFunc(hello)})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	if err := server.Run(context.Background()); err == nil || !strings.Contains(err.Error(), server.Addr().String()) {
		t.Errorf("got %v, want an error with the address", err)
	}
}
