package tell_test

import (
	"context"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hanzoai/kms/agent/config"
	"github.com/hanzoai/kms/agent/internal/tell"
)

func serve(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server
}

func TestAURLGetsAnEmptyPost(t *testing.T) {
	t.Parallel()
	got := make(chan map[string]string, 1)
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- map[string]string{"request": r.Method + " " + r.RequestURI, "close": fmt.Sprint(r.Close), "agent": r.UserAgent(), "type": r.Header.Get("Content-Type"),
			"length": r.Header.Get("Content-Length"), "encoding": r.Header.Get("Accept-Encoding"), "body": string(body)}
	})
	mustTell(t, config.Target{URL: server.URL + "/-/reload?all=yes", Timeout: "30s"})
	want := map[string]string{"request": "POST /-/reload?all=yes", "close": "true", "agent": "kms-agent", "type": "", "length": "0", "encoding": "", "body": ""}
	if diff := cmp.Diff(want, <-got); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
}

func TestAStatusBelow300IsSuccess(t *testing.T) {
	t.Parallel()
	for status, success := range map[int]bool{200: true, 201: true, 202: true, 204: true, 299: true, 300: false, 304: false, 404: false, 500: false, 503: false, 999: false} {
		server := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(status)
			io.WriteString(w, canary)
		})
		target := config.Target{URL: server.URL}
		if success {
			mustTell(t, target)
		} else {
			mustFail(t, target, "the answer was status ")
		}
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	elsewhere := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") })
	for _, status := range []int{301, 302, 303, 307, 308} {
		server := serve(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+"/"+canary, status)
		})
		mustFail(t, config.Target{URL: server.URL + "?token=" + canary}, "status 30")
	}
}

func TestAServerThatDoesNotAnswerIsAnErrorWithoutWhatItSent(t *testing.T) {
	t.Parallel()
	closed := serve(t, nil)
	closed.Close()
	for _, test := range []struct{ name, url, says string }{
		{"it is away", closed.URL, "connection refused"},
		{"it closes the connection", listen(t, ""), "no answer in HTTP"},
		{"it speaks something else", listen(t, canary+"\r\n\r\n"), "no answer in HTTP"},
		{"its status is no number", listen(t, "HTTP/1.1 "+canary+" "+canary+"\r\n\r\n"), "no answer in HTTP"},
		{"its header is none", listen(t, "HTTP/1.1 200 OK\r\n"+canary+"\r\n\r\n"), "no answer in HTTP"},
		{"its header is too long", listen(t, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 32<<10)+"\r\n\r\n"), "no answer in HTTP"},
		{"it does not speak TLS", strings.Replace(listen(t, "HTTP/1.1 200 OK\r\n\r\n"), "http:", "https:", 1), "no answer in HTTP"},
		{"the address is none", "http://[::1/", "cannot be read"},
		{"the scheme is another", "gopher://127.0.0.1/", "no answer in HTTP"},
	} {
		t.Run(test.name, func(t *testing.T) {
			mustFail(t, config.Target{URL: test.url + "?token=" + canary, Timeout: "60s"}, test.says)
		})
	}
}

// listen gives the address of a server that sends these bytes to everybody.
func listen(t *testing.T, bytes string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			connection.Read(make([]byte, 4096)) // unread bytes would reset the connection
			io.WriteString(connection, bytes)
			connection.Close()
		}
	}()
	return "http://" + listener.Addr().String()
}

func TestAServerThatHangsIsGivenUp(t *testing.T) {
	t.Parallel()
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	err := mustFail(t, config.Target{URL: server.URL + "?token=" + canary, Timeout: "100ms"}, "not done within 100ms")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want one of the deadline", err)
	}
}

func TestABodyWithoutAnEndIsNotReadToIt(t *testing.T) {
	t.Parallel()
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for err := error(nil); err == nil; {
			_, err = io.WriteString(w, canary)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := tell.Tell(ctx, config.Target{URL: server.URL}); err != nil || ctx.Err() != nil {
		t.Errorf("error %v, and the context says %v", err, ctx.Err())
	}
}

// The addresses are those that documents use; a connection to them is refused
// before a packet leaves.
func TestAnAddressOfAnotherHostIsRefused(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"http://192.0.2.1/", "http://0.0.0.0:1/", "http://[2001:db8::1]/", "http://[::ffff:192.0.2.1]/", "http://[::]:1/", "http://:1/", "https://192.0.2.1/"} {
		mustFail(t, config.Target{URL: url + "?token=" + canary, Timeout: "60s"}, "not a loopback address")
	}
}

// A name that the resolver sends to another host, whatever it promises.
func TestANameIsJudgedByWhatItResolvesTo(t *testing.T) {
	before := net.DefaultResolver
	defer func() { net.DefaultResolver = before }()
	server := serve(t, func(http.ResponseWriter, *http.Request) {})
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())

	net.DefaultResolver = resolveTo(192, 0, 2, 1)
	mustFail(t, config.Target{URL: "http://localhost.example.:" + port, Timeout: "60s"}, "not a loopback address")
	net.DefaultResolver = resolveTo(127, 0, 0, 1)
	mustTell(t, config.Target{URL: "http://localhost.example.:" + port, Timeout: "60s"})
}

// resolveTo is a resolver whose server knows one address for all names.
func resolveTo(address ...byte) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go answerDNS(server, address)
		return client, nil
	}}
}

// answerDNS reads one question and answers it, in the form of RFC 1035 for
// streams. There are answers to questions for type A only.
func answerDNS(connection net.Conn, address []byte) {
	defer connection.Close()
	var length [2]byte
	io.ReadFull(connection, length[:])
	question := make([]byte, binary.BigEndian.Uint16(length[:]))
	if _, err := io.ReadFull(connection, question); err != nil {
		return
	}
	end := 12 + strings.IndexByte(string(question[12:]), 0) + 5
	answer := append([]byte{question[0], question[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, question[12:end]...)
	if question[end-3] == 1 {
		answer[7] = 1
		answer = append(append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4), address...)
	}
	connection.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...))
}

func TestAProxyIsNotUsed(t *testing.T) {
	t.Parallel()
	proxy := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the proxy was asked") })
	cmd := agent(t, config.Target{URL: "http://192.0.2.1/", Timeout: "60s"}, link(t, newName()))
	cmd.Env = append(cmd.Env, "HTTP_PROXY="+proxy.URL, "http_proxy="+proxy.URL)
	if said := output(t, cmd); !strings.Contains(said, "not a loopback address") {
		t.Errorf("the agent says %q", said)
	}
}

func TestACertificateIsCheckedAgainstTheSystemsAuthorities(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of the handshake that fails
	server.StartTLS()
	t.Cleanup(server.Close)
	target := config.Target{URL: server.URL + "?token=" + canary, Timeout: "60s"}
	mustFail(t, target, "certificate")

	cmd := agent(t, target, link(t, newName()))
	roots := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	cmd.Env = append(cmd.Env, "SSL_CERT_FILE="+writeFile(t, string(roots)))
	if said := output(t, cmd); said != "told\n" {
		t.Errorf("the agent that trusts the certificate says %q", said)
	}
}
