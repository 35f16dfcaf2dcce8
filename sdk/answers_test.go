package sdk_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/sdk"
)

const oneSecret = `{"secrets":[{"secretKey":"A","secretValue":"canary-of-a-value"}]}`

func TestHalfAnAnswerIsAskedForAgain(t *testing.T) {
	half := oneSecret[:len(oneSecret)/2]
	tests := map[string]string{
		"of a known length":   "Content-Length: " + strconv.Itoa(len(oneSecret)) + "\r\n\r\n" + half,
		"of an unknown one":   "Transfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\n", len(half), half),
		"within a chunk":      "Transfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s", len(oneSecret), half),
		"with no byte of it":  "Content-Length: " + strconv.Itoa(len(oneSecret)) + "\r\n\r\n",
		"that ends in a line": "Content-Le",
	}
	for name, answer := range tests {
		for _, cuts := range []int64{1, 99} {
			t.Run(fmt.Sprintf("%s, %d times", name, cuts), func(t *testing.T) {
				var requests atomic.Int64
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if requests.Add(1) > cuts {
						io.WriteString(w, oneSecret)
						return
					}
					conn, _, err := http.NewResponseController(w).Hijack()
					if err != nil {
						t.Error(err)
						return
					}
					defer conn.Close()
					io.WriteString(conn, "HTTP/1.1 200 OK\r\n"+answer)
				}))
				defer server.Close()
				client := sdk.NewClient(sdk.Config{SiteURL: server.URL, AccessToken: "token", MaxRetries: 1})
				result, err := client.List(t.Context(), appDev)
				if whole := cuts == 1; whole != (err == nil) || whole != (len(result.Secrets) == 1) {
					t.Errorf("got %v, %v", result, err)
				}
				if err != nil && (!errors.Is(err, api.ErrUnavailable) || strings.Contains(err.Error(), "canary")) {
					t.Errorf("got %v, want %v and no value", err, api.ErrUnavailable)
				}
				if n := requests.Load(); n != 2 {
					t.Errorf("%d requests, want 2", n)
				}
			})
		}
	}
}

func TestAHugeAnswerIsRefusedWithoutReadingOn(t *testing.T) {
	const huge, most = 300 << 20, 1 << 20
	tests := []struct {
		name, length, says string
		status             int
	}{
		{"of a known length", strconv.Itoa(huge), "the answer has 314572800 bytes and MaxResponse is 1048576", 200},
		{"of an unknown one", "", "the answer has more than 1048576 bytes, which is MaxResponse", 200},
		{"that is an error", strconv.Itoa(huge), "the answer has 314572800 bytes and MaxResponse is 1048576", 503},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			sent := make(chan int, 9)
			chunk := bytes.Repeat([]byte(" "), 64<<10)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if test.length != "" {
					w.Header().Set("Content-Length", test.length)
				}
				w.WriteHeader(test.status)
				total := 0
				defer func() { sent <- total }()
				for total < huge {
					n, err := w.Write(chunk)
					if total += n; err != nil {
						return
					}
				}
			}))
			defer server.Close()
			client := sdk.NewClient(sdk.Config{SiteURL: server.URL, AccessToken: "token", MaxResponse: most})
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := client.List(t.Context(), appDev)
			runtime.ReadMemStats(&after)
			if !errors.Is(err, api.ErrTooLarge) || !strings.Contains(fmt.Sprint(err), test.says) {
				t.Errorf("got %v, want %q", err, test.says)
			}
			if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 8*most {
				t.Errorf("%d bytes were allocated for at most %d", allocated, most)
			}
			if total := <-sent; total > huge/4 { // what the sockets buffered
				t.Errorf("%d bytes were taken off the server", total)
			}
			select {
			case <-sent:
				t.Error("the call was tried again")
			default:
			}
		})
	}
}

// pipes is a listener without a network, so that time may be a bubble's.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	p.conns <- server
	return client, nil
}

func TestAnAnswerThatDripsIsBoundedByTheTimeout(t *testing.T) {
	drip := func(w http.ResponseWriter, r *http.Request) {
		for {
			io.WriteString(w, " ")
			http.NewResponseController(w).Flush()
			select {
			case <-r.Context().Done():
				return
			case <-time.After(time.Second):
			}
		}
	}
	silence := func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	for name, handler := range map[string]http.HandlerFunc{"it drips": drip, "it never begins": silence} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var requests atomic.Int64
				listener := &pipes{make(chan net.Conn), make(chan struct{})}
				server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					requests.Add(1)
					handler(w, r)
				})}
				go server.Serve(listener)
				defer server.Close()
				transport := &http.Transport{DialContext: listener.dial}
				defer transport.CloseIdleConnections()
				client := sdk.NewClient(sdk.Config{SiteURL: "http://kms", AccessToken: "token", Transport: transport,
					Timeout: 20 * time.Second, MaxRetries: 2})
				start := time.Now()
				_, err := client.List(t.Context(), appDev)
				if !errors.Is(err, api.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v, want %v after a deadline", err, api.ErrUnavailable)
				}
				if took := time.Since(start); took < time.Minute || took > time.Minute+time.Second || requests.Load() != 3 {
					t.Errorf("took %v and %d tries, want three of 20 s and their pauses", took, requests.Load())
				}
			})
		})
	}
}

func TestCallsReuseOneConnection(t *testing.T) {
	for _, version := range []int{1, 2} {
		t.Run(fmt.Sprintf("HTTP/%d", version), func(t *testing.T) {
			f := newFake()
			f.before = func(w http.ResponseWriter, r *http.Request) bool {
				if r.ProtoMajor != version || r.Header.Get("Accept-Encoding") != "" {
					t.Errorf("the client speaks %s and asks for the encoding %q, want none", r.Proto, r.Header.Get("Accept-Encoding"))
				}
				return false
			}
			var conns atomic.Int64
			server := httptest.NewUnstartedServer(f)
			server.EnableHTTP2 = version == 2
			server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				if state == http.StateNew {
					conns.Add(1)
				}
			}
			server.StartTLS()
			defer server.Close()
			client := sdk.NewClient(sdk.Config{SiteURL: server.URL, ClientID: goodID, ClientSecret: goodSecret, CACertPEM: authorityOf(server)})
			scope := sdk.Scope{ProjectSlug: "app", Environment: "dev"}
			mustCreate(t, client, scope, "BIG", strings.Repeat("v", 64<<10)) // is answered in chunks
			options := appDev
			for range 3 {
				result, err := client.List(t.Context(), options)
				if err != nil {
					t.Fatal(err)
				}
				options.IfNoneMatch = result.ETag
				if _, err := client.Get(t.Context(), scope, "NONE", sdk.GetOptions{}); !errors.Is(err, api.ErrNotFound) {
					t.Fatal(err)
				}
			}
			if n := conns.Load(); n != 1 {
				t.Errorf("%d connections, want 1", n)
			}
		})
	}
}

// RFC 9110, 15.4.5: a 304 may announce the length of the body it leaves out.
func TestANotModifiedAnswerMayAnnounceALength(t *testing.T) {
	for _, version := range []int{1, 2} {
		t.Run(fmt.Sprintf("HTTP/%d", version), func(t *testing.T) {
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Length", "4711")
				w.WriteHeader(http.StatusNotModified)
			}))
			server.EnableHTTP2 = version == 2
			server.StartTLS()
			defer server.Close()
			client := sdk.NewClient(sdk.Config{SiteURL: server.URL, AccessToken: "token", CACertPEM: authorityOf(server), MaxRetries: -1})
			options := appDev
			options.IfNoneMatch = `"x"`
			if result, err := client.List(t.Context(), options); err != nil || !result.NotModified {
				t.Errorf("got %+v, %v, want not modified", result, err)
			}
		})
	}
}

// witness is a body that remembers the buffers that it was read into.
type witness struct {
	io.Reader
	buffers [][]byte
}

func (w *witness) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '!' // a reader may use all of the room
	}
	w.buffers = append(w.buffers, p)
	return w.Reader.Read(p)
}

func (w *witness) Close() error { return nil }

func TestNoBufferKeepsAnAnswer(t *testing.T) {
	long := strings.Replace(oneSecret, "canary", strings.Repeat("canary", 10_000), 1)
	tests := []struct {
		name   string
		body   string
		length int64
		status int
		ok     bool
	}{
		{"of a known length", long, int64(len(long)), 200, true},
		{"of an unknown one", long, -1, 200, true},
		{"that is cut", long[:50_000], int64(len(long)), 200, false},
		{"that is cut, of an unknown length", long[:50_000], -1, 200, false},
		{"that is garbage", long + "?", -1, 200, false},
		{"that is too large", strings.Repeat(long, 2), -1, 200, false},
		{"that is an error", long, int64(len(long)), 403, false},
		{"that is a redirect", long, -1, 302, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			body := &witness{Reader: strings.NewReader(test.body)}
			transport := roundTrip(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: test.status, Header: http.Header{}, Body: body, ContentLength: test.length}, nil
			})
			client := sdk.NewClient(sdk.Config{AccessToken: "token", Transport: transport, MaxRetries: -1, MaxResponse: int64(len(long)) + 1})
			result, err := client.List(t.Context(), appDev)
			if (err == nil) != test.ok || test.ok && len(result.Secrets[0].SecretValue) < 50_000 {
				t.Fatal(err)
			}
			for i, buffer := range body.buffers {
				if slices.ContainsFunc(buffer, func(b byte) bool { return b != 0 }) {
					t.Errorf("buffer %d of %d was not cleared", i+1, len(body.buffers))
				}
			}
		})
	}
}

// authorityOf is the certificate of a test server, which is its own authority.
func authorityOf(server *httptest.Server) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
}
