package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/sdk"
)

func TestCallsAreRetriedOnlyWhereThatIsSafe(t *testing.T) {
	const create = "POST /api/v3/secrets/raw/K"
	list := func(c *sdk.Client) error { _, err := c.List(context.Background(), appDev); return err }
	post := func(c *sdk.Client) error {
		_, err := c.Create(context.Background(), sdk.Scope{ProjectSlug: "app", Environment: "dev"}, sdk.SecretInput{Key: "K", Value: new("v")})
		return err
	}
	login := func(c *sdk.Client) error { return c.Login(context.Background()) }
	tests := []struct {
		name    string
		call    func(*sdk.Client) error
		request string
		status  int // 0: the answer is lost on the way
		times   int // how often it fails
		retries int // MaxRetries
		want    int // how often it is sent
		wantErr error
	}{
		{"a list after 503", list, listCall, 503, 2, 0, 3, nil},
		{"a list after 429", list, listCall, 429, 2, 0, 3, nil},
		{"a list after a bad gateway", list, listCall, 502, 1, 0, 2, nil},
		{"a list whose answer was lost", list, listCall, 0, 2, 0, 3, nil},
		{"a list that never works", list, listCall, 503, 99, 0, 5, api.ErrUnavailable},
		{"a list that may not be retried", list, listCall, 503, 99, -1, 1, api.ErrUnavailable},
		{"a list that is refused", list, listCall, 403, 99, 0, 1, api.ErrDenied},
		{"a create after 503", post, create, 503, 1, 0, 2, nil},
		{"a create after 429", post, create, 429, 1, 0, 2, nil},
		{"a create after a bad gateway", post, create, 502, 1, 0, 1, api.ErrUnavailable},
		{"a create after an internal error", post, create, 500, 1, 0, 1, api.ErrInternal},
		{"a create whose answer was lost", post, create, 0, 1, 0, 1, api.ErrUnavailable},
		{"a login whose answer was lost", login, loginCall, 0, 2, 0, 3, nil},
		{"a login after 503", login, loginCall, 503, 2, 0, 3, nil},
		{"a login that is refused", login, loginCall, 401, 99, 0, 1, api.ErrUnauthenticated},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				transport := &lossy{fake: f, request: test.request, times: test.times, status: test.status}
				client := sdk.NewClient(sdk.Config{ClientID: goodID, ClientSecret: goodSecret, MaxRetries: test.retries, Transport: transport})
				if err := test.call(client); !errors.Is(err, test.wantErr) {
					t.Errorf("error: %v, want %v", err, test.wantErr)
				}
				if got := f.count(test.request); got != test.want {
					t.Errorf("sent %d times, want %d", got, test.want)
				}
			})
		})
	}
}

// lossy lets a fake do its work, and then loses or replaces the answer.
type lossy struct {
	*fake
	request string
	times   int
	status  int
}

func (l *lossy) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method+" "+r.URL.Path != l.request || l.times == 0 {
		return l.fake.RoundTrip(r)
	}
	l.times--
	l.fake.mu.Lock()
	l.fake.requests = append(l.fake.requests, l.request)
	l.fake.mu.Unlock()
	if l.status == 0 {
		return nil, io.ErrUnexpectedEOF
	}
	w := httptest.NewRecorder()
	fail(w, l.status, "as the test asked")
	return w.Result(), nil
}

func TestAPostIsSentAgainWhenNoConnectionWasMade(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer(w, map[string]any{"project": api.Project{ID: "p-id"}})
	}))
	defer server.Close()
	dials := 0
	transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		if dials++; dials < 3 {
			return nil, errors.New("refused")
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
	defer transport.CloseIdleConnections()
	client := sdk.NewClient(sdk.Config{SiteURL: server.URL, AccessToken: "token", Transport: transport})
	project, err := client.CreateProject(t.Context(), sdk.ProjectInput{Name: "p"})
	if err != nil || project.ID != "p-id" || dials != 3 {
		t.Errorf("CreateProject = %q, %v after %d dials, want p-id after 3", project.ID, err, dials)
	}
}

func TestRetryAfterIsHonouredUpToAMinute(t *testing.T) {
	date := func(years int, seconds time.Duration) string { // in a synctest bubble it is the year 2000
		return time.Date(2000+years, 1, 1, 0, 0, 0, 0, time.UTC).Add(seconds * time.Second).Format(http.TimeFormat)
	}
	tests := []struct {
		name, date, header string
		min                time.Duration // and up to a second more, for the pause of a first try
	}{
		{"seconds", date(0, 0), "7", 7 * time.Second},
		{"an hour", date(0, 0), "3600", time.Minute},
		{"more than an integer holds", date(0, 0), "99999999999999999999", time.Minute},
		{"less than nothing", date(0, 0), "-5", 0},
		{"no number", date(0, 0), "soon", 0},
		{"a date", date(0, 0), date(0, 7), 7 * time.Second},
		{"a date of a server that is a year ahead", date(1, 0), date(1, 7), 7 * time.Second},
		{"a date of a server that is a year behind", date(-1, 0), date(-1, 7), 7 * time.Second},
		{"a date that is past for the server", date(1, 0), date(0, 30), 0},
		{"a date in the far future", date(0, 0), date(7999, 0), time.Minute},
		{"a date without a Date header", "", date(0, 7), 0},
		{"a date beside a Date header that is none", "yesterday", date(0, 7), 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake()
				first := true
				f.before = func(w http.ResponseWriter, r *http.Request) bool {
					if !first {
						return false
					}
					first = false
					w.Header().Set("Retry-After", test.header)
					w.Header().Set("Date", test.date)
					fail(w, 429, "slow down")
					return true
				}
				start := time.Now()
				if err := f.client(sdk.Config{}).Login(t.Context()); err != nil {
					t.Fatal(err)
				}
				if waited := time.Since(start); waited < test.min || waited > test.min+time.Second {
					t.Errorf("waited %v, want %v to a second more", waited, test.min)
				}
			})
		})
	}
}

func TestAContextThatEndsEndsTheWaitAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.before = func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Retry-After", "30")
			fail(w, 503, "down")
			return true
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		start := time.Now()
		_, err := f.client(sdk.Config{}).List(ctx, appDev)
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, api.ErrUnavailable) {
			t.Errorf("got %v, want both the server's state and the deadline", err)
		}
		if waited := time.Since(start); waited != 5*time.Second {
			t.Errorf("ended after %v, want 5s", waited)
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestARedirectIsNotFollowed(t *testing.T) {
	var reached bool
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer elsewhere.Close()
	server := httptest.NewServer(http.RedirectHandler(elsewhere.URL+"/x?secret=canary", http.StatusTemporaryRedirect))
	defer server.Close()
	err := target{URL: server.URL, ClientID: goodID, ClientSecret: goodSecret}.client().Login(t.Context())
	if !errors.Is(err, api.ErrUnavailable) || !strings.Contains(fmt.Sprint(err), elsewhere.URL) || strings.Contains(fmt.Sprint(err), "canary") {
		t.Errorf("got %v, want an error that names %s and no more", err, elsewhere.URL)
	}
	if reached {
		t.Error("the credentials travelled to another server")
	}
}

func TestAnswersThatAreNoneOfThisAPI(t *testing.T) {
	tests := []struct {
		name, body string
		want       error
	}{
		{"a page of a proxy", "<html>", api.ErrUnavailable},
		{"half an answer", `{"secrets":[{"secretKey":"A"`, api.ErrUnavailable},
		{"another JSON", `{"status":"up"}`, api.ErrUnavailable},
		{"a value of another type", `{"secrets":[{"secretValue":4711}],"secret":{"secretValue":4711}}`, api.ErrUnavailable},
		{"more than is allowed", `{"secrets":[]}` + strings.Repeat(" ", 2048), api.ErrTooLarge},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFake()
			f.before = func(w http.ResponseWriter, r *http.Request) bool { io.WriteString(w, test.body); return true }
			result, err := f.client(sdk.Config{AccessToken: "token", MaxResponse: 1024}).List(t.Context(), appDev)
			if !errors.Is(err, test.want) || len(result.Secrets) > 0 {
				t.Errorf("got %v, %v, want %v", result, err, test.want)
			}
			if strings.Contains(fmt.Sprint(err), "4711") {
				t.Errorf("the error quotes the value: %v", err)
			}
			secret, err := f.client(sdk.Config{AccessToken: "token", MaxResponse: 1024}).Get(t.Context(), sdk.Scope{ProjectSlug: "app"}, "K", sdk.GetOptions{})
			if !errors.Is(err, test.want) || secret.SecretKey != "" {
				t.Errorf("Get gave %v, %v, want %v", secret, err, test.want)
			}
		})
	}
}

func TestNothingPrintsASecret(t *testing.T) {
	const canary = "canary-7f3a"
	config := sdk.Config{SiteURL: "https://user:" + canary + "@kms", ClientID: "id", ClientSecret: canary, AccessToken: canary, Proxy: "http://user:" + canary + "@proxy"}
	secret := sdk.Secret{SecretKey: "K", SecretValue: canary, SecretComment: canary, SecretMetadata: []sdk.Metadata{{Key: "m", Value: canary}}}
	input := sdk.SecretInput{Key: "K", Value: new(canary), Comment: new(canary)}
	things := map[string]any{
		"Config": config, "*Config": &config, "Client": sdk.NewClient(config),
		"Secret": secret, "*Secret": &secret, "[]Secret": []sdk.Secret{secret}, "Result": sdk.Result{Secrets: []sdk.Secret{secret}},
		"SecretInput": input, "Metadata": secret.SecretMetadata,
		"BootstrapInput":  sdk.BootstrapInput{Email: "e", Password: canary},
		"NewClientSecret": sdk.NewClientSecret{Secret: api.NewValue(canary)},
		"error of a call": sdk.NewClient(config).Login(t.Context()),
	}
	for name, thing := range things {
		var out strings.Builder
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
			fmt.Fprintf(&out, format, thing)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("log", "thing", thing)
		if strings.Contains(out.String(), canary) || strings.Contains(out.String(), fmt.Sprintf("%x", canary)) {
			t.Errorf("%s prints a secret: %s", name, out.String())
		}
	}
}

func TestTheSiteURLIsTakenInAllItsForms(t *testing.T) {
	const status = "https://kms.example/api/status"
	tests := []struct {
		siteURL, want string // want "": an error
	}{
		{"", "https://kms.hanzo.ai/api/status"},
		{"https://kms.example", status},
		{"https://kms.example/", status},
		{"https://kms.example/api", status},
		{"https://kms.example/api/", status},
		{"http://kms.example:8080//", "http://kms.example:8080/api/status"},
		{"https://example/team/kms/api", "https://example/team/kms/api/status"},
		{"kms.example", ""},
		{"ftp://kms.example", ""},
		{"https://", ""},
		{"https://user:canary@kms.example", ""},
		{"https://kms.example?token=canary", ""},
		{"https://canary\x7f", ""},
	}
	for _, test := range tests {
		var got string
		transport := roundTrip(func(r *http.Request) (*http.Response, error) {
			got = r.URL.String()
			w := httptest.NewRecorder()
			answer(w, map[string]string{"message": "Ok"})
			return w.Result(), nil
		})
		_, err := sdk.NewClient(sdk.Config{SiteURL: test.siteURL, Transport: transport}).Status(t.Context())
		if got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("SiteURL %q: called %q, %v, want %q", test.siteURL, got, err, test.want)
		}
		if test.want == "" && (!errors.Is(err, api.ErrInvalid) || strings.Contains(err.Error(), "canary")) {
			t.Errorf("SiteURL %q: error %v", test.siteURL, err)
		}
	}
}

func TestErrorsNameTheCallAndWhatTheServerSaid(t *testing.T) {
	f := newFake()
	f.before = func(w http.ResponseWriter, r *http.Request) bool {
		fail(w, 404, "Project with slug 'app' not found")
		return true
	}
	_, err := f.client(sdk.Config{AccessToken: "token"}).List(t.Context(), appDev)
	want := "GET /api/v3/secrets/raw: Project with slug 'app' not found (status 404, request req-test)"
	if diff := cmp.Diff(want, fmt.Sprint(err)); diff != "" {
		t.Error(diff)
	}
}
