package deliver_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hanzoai/kms/agent/config"
	"github.com/hanzoai/kms/agent/internal/deliver"
	"github.com/hanzoai/kms/sdk"
)

// patience only ends a test that hangs.
const patience = 30 * time.Second

// running is an agent with its sockets that keeps the set of k in dir. What it
// gives ends it, and has the log.
func (k *kms) running(t *testing.T, dir string) (end func() string) {
	t.Helper()
	c, err := config.Parse(fmt.Appendf(nil, `{"version": 1, "directory": %q, "sources": [{"project": "app", "environment": "prod"}],
		"pollInterval": "1s", "debounce": "0s"}`, dir))
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	client := sdk.NewClient(sdk.Config{ClientID: "id", ClientSecret: "secret", Transport: k, MaxRetries: -1})
	agent := deliver.New(c, client, slog.New(slog.NewJSONHandler(&log, nil)))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- agent.Run(ctx) }()
	awaitFile(t, filepath.Join(dir, "A"))
	return func() string {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		return log.String()
	}
}

// awaitFile waits for what an agent writes.
func awaitFile(t *testing.T, name string) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(name); err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s did not come", name)
		}
	}
}

// say writes text to the socket of the directory and gives what is answered,
// up to the end of the connection.
func say(t *testing.T, dir, text string) (conn net.Conn, answer *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("unix", filepath.Join(dir, "..agent.sock"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	go io.WriteString(conn, text) // the other side may have enough before all is written
	return conn, bufio.NewReader(conn)
}

func question(query string) string {
	return "GET /changes" + query + " HTTP/1.1\r\nHost: agent\r\n\r\n"
}

func TestAStrangerOnTheSocketIsRefusedAndDisturbsNobody(t *testing.T) {
	k := &kms{}
	k.set("A=canary")
	dir := memoryDir(t)
	end := k.running(t, dir)
	if info, err := os.Stat(filepath.Join(dir, "..agent.sock")); err != nil || info.Mode().Perm() != 0o666 {
		t.Errorf("the socket is %v, %v: an application of another user has to reach it", info, err)
	}
	_, hears := say(t, dir, question("?have=..1"))
	say(t, dir, question("?have=..9223372036854775807")) // waits for ever
	say(t, dir, "GET /changes")                          // says no more
	for _, test := range []struct{ name, text, status string }{
		{"no generation", question(""), "400"},
		{"an empty one", question("?have="), "400"},
		{"not a number", question("?have=..canary"), "400"},
		{"zero", question("?have=..0"), "400"},
		{"another spelling", question("?have=..01"), "400"},
		{"too large", question("?have=..9223372036854775808"), "400"},
		{"a path", question("?have=../../etc/passwd"), "400"},
		{"a query that is broken", question("?%zz;;=&have"), "400"},
		{"another method", strings.Replace(question("?have=..1"), "GET", "POST", 1), "405"},
		{"another path", strings.Replace(question("?have=..1"), "/changes", "/..data/A", 1), "404"},
		{"a path that climbs", strings.Replace(question(""), "/changes", "/healthz/../../A", 1), "307"},
		{"no HTTP", "\x00\xff\x00\r\n\r\n", "400"},
		{"a header without an end", "GET /changes?have=..1 HTTP/1.1\r\nX: " + strings.Repeat("long ", 1<<16), "431"},
	} {
		_, answer := say(t, dir, test.text)
		line, err := answer.ReadString('\n')
		if err != nil || !strings.HasPrefix(line, "HTTP/1.1 "+test.status) {
			t.Errorf("%s: the answer is %q, %v, want %s", test.name, line, err, test.status)
		}
	}
	k.set("A=canary-2")
	response, err := http.ReadResponse(hears, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil || string(body) != "..2\n" {
		t.Errorf("the wrapper hears %q, %v, want ..2", body, err)
	}
	if log := end(); strings.Contains(log, "canary") || strings.Count(log, "\n") != 2 {
		t.Errorf("strangers are in the log: %s", log)
	}
}

func TestWithoutItsSocketAnAgentStillWritesTheFiles(t *testing.T) {
	k := &kms{}
	k.set("A=1")
	dir := memoryDir(t)
	if err := os.Mkdir(filepath.Join(dir, "..agent.sock"), 0o700); err != nil {
		t.Fatal(err)
	}
	if log := k.running(t, dir)(); strings.Count(log, "no socket for health and wrappers") != 1 {
		t.Errorf("the log is %s", log)
	}
}
