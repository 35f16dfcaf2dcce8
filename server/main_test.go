package main_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hanzoai/kms/sdk"
	"github.com/hanzoai/kms/server/kmstest"
)

// binary is the server as it is shipped, built once.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "kms-server-")
	if err == nil {
		binary = filepath.Join(dir, "kms-server")
		build := exec.Command("go", "build", "-trimpath", "-o", binary, ".")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		build.Stderr = os.Stderr
		err = build.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// command is kms-server with the environment env alone.
func command(env []string, args ...string) *exec.Cmd {
	cmd := exec.Command(binary, args...)
	cmd.Env = env
	return cmd
}

// keys are what keygen prints: two lines of an environment file.
func keys(t *testing.T) (env []string) {
	t.Helper()
	out, err := command(nil, "keygen").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(out))
}

// process is a server that runs, and is killed at the end of the test unless
// it ended before.
type process struct {
	*exec.Cmd
	URL  string
	t    *testing.T
	read chan struct{} // closed when there is no more output

	mu     sync.Mutex // guards what follows
	output bytes.Buffer
}

// start starts the server and waits until it serves.
func start(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := &process{Cmd: command(env, append(args, "-listen", "127.0.0.1:0", "-admin-listen", "", "-log-level", "debug")...), t: t, read: make(chan struct{})}
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.Stderr = p.Stdout
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.ProcessState == nil {
			p.kill()
		}
	})
	serving := make(chan string, 1)
	go p.follow(out, serving)
	select {
	case address := <-serving:
		p.URL = "http://" + address
	case <-p.read:
		t.Fatalf("the server ended at its start:\n%s", p.log())
	}
	return p
}

// follow collects the output, and gives the address of the first line that
// says that the server serves.
func (p *process) follow(out io.Reader, serving chan<- string) {
	defer close(p.read)
	for scanner := bufio.NewScanner(out); scanner.Scan(); {
		p.mu.Lock()
		p.output.WriteString(scanner.Text() + "\n")
		p.mu.Unlock()
		var line struct{ Msg, Address string }
		if json.Unmarshal(scanner.Bytes(), &line) == nil && line.Msg == "serving" {
			serving <- line.Address
		}
	}
}

func (p *process) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String()
}

func (p *process) kill() {
	p.Process.Kill()
	<-p.read
	p.Wait()
}

// terminate ends the server as Kubernetes does.
func (p *process) terminate() {
	p.t.Helper()
	p.Process.Signal(syscall.SIGTERM)
	<-p.read
	if err := p.Wait(); err != nil {
		p.t.Errorf("after SIGTERM the server ended with %v:\n%s", err, p.log())
	}
}

func (p *process) anonymous() *sdk.Client {
	return sdk.NewClient(sdk.Config{SiteURL: p.URL, MaxRetries: -1})
}

// bootstrap sets the instance up, and gives its admin's client.
func (p *process) bootstrap(t *testing.T) *sdk.Client {
	t.Helper()
	done, err := p.anonymous().Bootstrap(t.Context(), sdk.BootstrapInput{Email: "me@example.com", Password: "a long passphrase", Organization: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	return p.admin(done.Token.Reveal())
}

func (p *process) admin(token string) *sdk.Client {
	return sdk.NewClient(sdk.Config{SiteURL: p.URL, AccessToken: token, MaxRetries: -1})
}

const root32 = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=" // base64 of 32 bytes
const auth32 = "an-auth-secret-of-32-bytes-or-more"

func TestABadConfigurationIsRefusedWithAllItsProblemsAndNoValue(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const canary = "canary7"
	short := base64.StdEncoding.EncodeToString([]byte(canary + canary))
	hexKey := hex.EncodeToString([]byte("01234567890123456789012345678901"))
	good := []string{"ROOT_ENCRYPTION_KEY=" + root32, "AUTH_SECRET=" + auth32}
	data := []string{"-data", "DATA"} // replaced by a directory of the row's own
	tests := []struct {
		name string
		env  []string
		args []string
		want []string
	}{
		{"no root key", []string{"AUTH_SECRET=" + auth32}, data, []string{"ROOT_ENCRYPTION_KEY is not set", "keygen"}},
		{"a short root key", []string{"ROOT_ENCRYPTION_KEY=" + short, "AUTH_SECRET=" + auth32}, data, []string{"ROOT_ENCRYPTION_KEY: ", "32 are needed"}},
		{"a root key in hex", []string{"ROOT_ENCRYPTION_KEY=" + hexKey, "AUTH_SECRET=" + auth32}, data, []string{"ROOT_ENCRYPTION_KEY: ", "hex"}},
		{"a root key that is none", []string{"ROOT_ENCRYPTION_KEY=" + canary + "!", "AUTH_SECRET=" + auth32}, data, []string{"ROOT_ENCRYPTION_KEY: ", "base64"}},
		{"no auth secret", []string{"ROOT_ENCRYPTION_KEY=" + root32}, data, []string{"AUTH_SECRET is not set", "32 bytes"}},
		{"a short auth secret", []string{"ROOT_ENCRYPTION_KEY=" + root32, "AUTH_SECRET=" + canary}, data, []string{"AUTH_SECRET: secret 1 has 7 bytes", "32 or more"}},
		{"a root key twice", append(good, "ROOT_ENCRYPTION_KEY_FILE="+file("twice", root32)), data, []string{"ROOT_ENCRYPTION_KEY and ROOT_ENCRYPTION_KEY_FILE are both set"}},
		{"an empty file", []string{"ROOT_ENCRYPTION_KEY_FILE=" + file("empty", ""), "AUTH_SECRET=" + auth32}, data, []string{"ROOT_ENCRYPTION_KEY_FILE: ", "it is empty"}},
		{"no such file", []string{"ROOT_ENCRYPTION_KEY=" + root32, "AUTH_SECRET_FILE=" + dir + "/none"}, data, []string{"AUTH_SECRET_FILE: ", "no such file"}},
		{"a short key in a file", []string{"ROOT_ENCRYPTION_KEY_FILE=" + file("short", short), "AUTH_SECRET=" + auth32}, data, []string{"ROOT_ENCRYPTION_KEY: "}},
		{"no database", good, nil, []string{"no database is given", "DB_CONNECTION_URI", "-data DIR", "-dev"}},
		{"two databases", append(good, "DB_CONNECTION_URI=postgres://kms:"+canary+"@127.0.0.1:1/kms"), data, []string{"two databases are given"}},
		{"a database URI that is none", append(good, "DB_CONNECTION_URI=post gres://kms:"+canary+"@127.0.0.1:1/kms"), nil, []string{"the database URI cannot be parsed", "postgres://user:password@host"}},
		{"a database that is away", append(good, "DB_CONNECTION_URI=postgres://kms:"+canary+"@127.0.0.1:1/kms"), nil, []string{"open the store", "refused"}},
		{"a throw-away instance with keys", good, []string{"-dev"}, []string{"-dev makes its own database and keys"}},
		{"half a certificate", good, append(data, "-tls-cert", "cert.pem"), []string{"-tls-cert and -tls-key belong together"}},
		{"a certificate that is not there", good, append(data, "-tls-cert", dir+"/cert.pem", "-tls-key", dir+"/key.pem"), []string{"TLS certificate", "no such file"}},
		{"a proxy that is no network", good, append(data, "-trusted-proxies", "10.0.0.0/33"), []string{"-trusted-proxies"}},
		{"a flag that is none", good, append(data, "-lissten", ":1"), []string{"did you mean -listen?"}},
		{"an address that is none", good, append(data, "-listen", "nowhere"), []string{"listen for the API", "nowhere"}},
		{"a data directory that cannot be", good, []string{"-data", file("plain", "") + "/sub"}, []string{"make the data directory", "/plain"}},
		{"a command that is none", good, append([]string{"sreve"}, data...), []string{"argument 1 is not a flag"}},
		{"all at once", []string{"ROOT_ENCRYPTION_KEY=" + short, "AUTH_SECRET=" + canary, "KMS_TOKEN_TTL=0s", "KMS_GRACE=soon"},
			[]string{"-db-max-conns", "1", "-audit-days", "x", "-tls-key", "k"},
			[]string{"no database is given", "ROOT_ENCRYPTION_KEY: ", "AUTH_SECRET: ", "-token-ttl", "KMS_GRACE", "-db-max-conns", "-audit-days", "-tls-cert"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			args := append(slices.Clone(test.args), "-admin-listen", "")
			if i := slices.Index(args, "DATA"); i >= 0 {
				args[i] = t.TempDir()
			}
			cmd := command(test.env, args...)
			out, err := cmd.CombinedOutput()
			if err == nil || cmd.ProcessState.ExitCode() < 1 {
				t.Fatalf("the server ended with %v:\n%s", err, out)
			}
			for _, want := range test.want {
				if !strings.Contains(string(out), want) {
					t.Errorf("it does not say %q:\n%s", want, out)
				}
			}
			for _, secret := range []string{canary, short, root32, hexKey, auth32} {
				if form, found := kmstest.Leak(string(out), secret); found {
					t.Errorf("it prints a secret, %s:\n%s", form, out)
				}
			}
		})
	}
}

func TestTheManualNamesEveryFlagAndVariable(t *testing.T) {
	out, err := command(nil, "-h").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"kms-server -data DIR", "-dev", "keygen", "rewrap", "audit verify", "-listen address\n        address of the API", "KMS_LISTEN", "127.0.0.1:9090", "-trusted-proxies",
		"ROOT_ENCRYPTION_KEY", "AUTH_SECRET", "DB_CONNECTION_URI", "REDIS_URL", "_FILE"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("kms-server -h does not name %s", want)
		}
	}
	if strings.Contains(string(out), "`") {
		t.Error("kms-server -h shows backquotes")
	}
}

func TestWhatKeygenPrintsIsAnEnvironmentFileThatTheServerTakes(t *testing.T) {
	dir := t.TempDir()
	script := `"$0" keygen > "$1/keys.env"; set -a; . "$1/keys.env"; set +a; exec "$0" -data "$1/data" -listen 127.0.0.1:0 -admin-listen "" -check`
	out, err := exec.Command("sh", "-eu", "-c", script, binary, dir).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "configuration, keys and database are good") {
		t.Errorf("%v\n%s", err, out)
	}
	if first, second := keys(t), keys(t); len(first) != 2 || first[0] == second[0] || first[1] == second[1] {
		t.Error("two calls of keygen gave the same key, or not two keys")
	}
}

func TestAnInstanceToTryIsUsedByPastingWhatItPrints(t *testing.T) {
	for _, program := range []string{"bash", "curl", "jq"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("what is pasted needs %s, which this machine does not have", program)
		}
	}
	dir := t.TempDir()
	p := start(t, []string{"TMPDIR=" + dir}, "-dev")
	_, rest, _ := strings.Cut(p.log(), "Paste this")
	commands := regexp.MustCompile(`(?m)^  .*\n?`).FindAllString(rest, -1)
	shell := exec.Command("bash", "-euo", "pipefail", "-c", strings.Join(commands, ""))
	out, err := shell.Output()
	if err != nil || !strings.Contains(string(out), `"secretValue": "hello from kms"`) {
		t.Errorf("pasting\n%sgave %v\n%s", strings.Join(commands, ""), err, out)
	}
	p.terminate()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("the throw-away instance left %v, %v", left, err)
	}
}

func TestAServerThatIsKilledServesAgainAtOnce(t *testing.T) {
	t.Parallel()
	env, data := keys(t), t.TempDir()
	p := start(t, env, "-data", data)
	done, err := p.anonymous().Bootstrap(t.Context(), sdk.BootstrapInput{Email: "me@example.com", Password: "a long passphrase", Organization: "acme"})
	if err != nil {
		t.Fatal(err)
	}
	token := done.Token.Reveal()
	admin := p.admin(token)
	if _, err := admin.CreateProject(t.Context(), sdk.ProjectInput{Name: "shop", Slug: "shop"}); err != nil {
		t.Fatal(err)
	}
	scope := sdk.Scope{ProjectSlug: "shop", Environment: "prod"}
	if _, err := admin.Create(t.Context(), scope, sdk.SecretInput{Key: "A", Value: new("canary of this test")}); err != nil {
		t.Fatal(err)
	}
	p.kill()
	again := start(t, env, "-data", data)
	got, err := again.admin(token).Get(t.Context(), scope, "A", sdk.GetOptions{})
	if err != nil || got.SecretValue != "canary of this test" {
		t.Errorf("after SIGKILL and a start: %v, %v", got, err)
	}
	second, err := command(env, "-data", data, "-listen", "127.0.0.1:0", "-admin-listen", "").CombinedOutput()
	if err == nil || !strings.Contains(string(second), "another process uses the data directory") {
		t.Errorf("a second server on the data directory: %v\n%s", err, second)
	}
	again.terminate()
	out, err := command(env, "audit", "verify", "-data", data).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "rows") || strings.Contains(string(out), "PROBLEM") {
		t.Errorf("audit verify: %v\n%s", err, out)
	}
	secrets := append([]string{token, "canary of this test", "a long passphrase"}, strings.TrimPrefix(env[0], "ROOT_ENCRYPTION_KEY="), strings.TrimPrefix(env[1], "AUTH_SECRET="))
	for _, secret := range secrets {
		if form, found := kmstest.Leak(p.log()+again.log()+string(out)+string(second), secret); found {
			t.Errorf("the log holds a secret, %s", form)
		}
	}
}

func TestAPortThatIsTakenIsNamed(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, flag := range []string{"-listen", "-admin-listen"} {
		args := []string{"-data", t.TempDir(), "-listen", "127.0.0.1:0", "-admin-listen", "", flag, taken.Addr().String()}
		out, err := command(keys(t), args...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), taken.Addr().String()) || !strings.Contains(string(out), "address already in use") {
			t.Errorf("%s on a port that is taken: %v\n%s", flag, err, out)
		}
	}
}

func TestRequestsUnderWayAreAnsweredWhenTheServerStops(t *testing.T) {
	t.Parallel()
	p := start(t, keys(t), "-data", t.TempDir())
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := `{"email":"me@example.com","password":"a long passphrase","organization":"acme"}`
	fmt.Fprintf(conn, "POST /api/v1/admin/bootstrap HTTP/1.1\r\nHost: kms\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", len(body))
	answers := bufio.NewReader(conn)
	// The server asks for the body, so the request is under way.
	if line, err := answers.ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") {
		t.Fatalf("%q, %v, want 100 Continue", line, err)
	}
	answers.ReadString('\n')
	p.Process.Signal(syscall.SIGTERM)
	for { // until it takes no more connections
		further, err := net.Dial("tcp", conn.RemoteAddr().String())
		if err != nil {
			break
		}
		further.Close()
		time.Sleep(5 * time.Millisecond)
	}
	io.WriteString(conn, body)
	answer, err := http.ReadResponse(answers, nil)
	if err != nil || answer.StatusCode >= 300 {
		t.Errorf("the request under way: %v, %v", answer, err)
	}
	<-p.read
	if err := p.Wait(); err != nil || !strings.Contains(p.log(), `"stopped"`) {
		t.Errorf("the server ended with %v:\n%s", err, p.log())
	}
}

func TestTheRootKeyIsRotatedByRewrap(t *testing.T) {
	t.Parallel()
	first, second, data := keys(t), keys(t), t.TempDir()
	old, fresh := strings.TrimPrefix(first[0], "ROOT_ENCRYPTION_KEY="), strings.TrimPrefix(second[0], "ROOT_ENCRYPTION_KEY=")
	with := func(ring ...string) []string {
		return []string{"ROOT_ENCRYPTION_KEY=" + strings.Join(ring, ","), first[1]}
	}
	check := func(env []string) (string, error) {
		out, err := command(env, "-check", "-data", data, "-listen", "127.0.0.1:0", "-admin-listen", "").CombinedOutput()
		return string(out), err
	}
	p := start(t, with(old), "-data", data)
	admin := p.bootstrap(t)
	if _, err := admin.CreateProject(t.Context(), sdk.ProjectInput{Name: "shop", Slug: "shop"}); err != nil {
		t.Fatal(err)
	}
	p.terminate()
	if out, err := check(with(fresh)); err == nil || !strings.Contains(out, "ROOT_ENCRYPTION_KEY") || strings.Contains(out, fresh) {
		t.Errorf("a key that is not the database's: %v\n%s", err, out)
	}
	if out, err := check(with(old, fresh)); err != nil {
		t.Errorf("with the new key last: %v\n%s", err, out)
	}
	out, err := command(with(fresh, old), "rewrap", "-data", data).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "keys are now wrapped under the first key") {
		t.Fatalf("rewrap: %v\n%s", err, out)
	}
	if out, err := check(with(fresh)); err != nil {
		t.Errorf("with the new key alone, after rewrap: %v\n%s", err, out)
	}
	if out, err := check(with(old)); err == nil {
		t.Errorf("the old key alone still opens the database:\n%s", out)
	}
}
