package sdk_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/sdk"
)

func TestManyCallersShareOneLogin(t *testing.T) {
	f := newFake()
	server := httptest.NewServer(f)
	defer server.Close()
	client := target{URL: server.URL, ClientID: goodID, ClientSecret: goodSecret}.client()
	var calls sync.WaitGroup
	for range 50 {
		calls.Go(func() {
			if _, err := client.ListSecrets(appDev); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	if f.logins != 1 {
		t.Errorf("%d logins, want 1", f.logins)
	}
}

func TestACallerWhoGivesUpDoesNotFailTheOthersLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		first := true
		transport := roundTrip(func(r *http.Request) (*http.Response, error) {
			if first {
				first = false
				<-r.Context().Done() // the first login hangs
				return nil, r.Context().Err()
			}
			return f.RoundTrip(r)
		})
		client := sdk.NewClient(sdk.Config{ClientID: goodID, ClientSecret: goodSecret, Transport: transport})
		leader, giveUp := context.WithCancel(t.Context())
		leaderErr, followerErr := make(chan error, 1), make(chan error, 1)
		go func() { leaderErr <- client.Login(leader) }()
		synctest.Wait()
		go func() { followerErr <- client.Login(t.Context()) }()
		synctest.Wait()
		giveUp()
		if err := <-leaderErr; !errors.Is(err, context.Canceled) {
			t.Errorf("the leader got %v, want %v", err, context.Canceled)
		}
		if err := <-followerErr; err != nil {
			t.Errorf("the follower got %v", err)
		}
	})
}

func TestTheTokenIsRenewedAtTwoThirdsOfItsLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.life, f.maxLife = 900, 7200
		client := f.client(sdk.Config{})
		steps := []struct {
			after            time.Duration
			logins, renewals int
		}{
			{0, 1, 0},
			{554 * time.Second, 1, 0},
			{92 * time.Second, 1, 1},  // 646 s: past two thirds of 900 and a twentieth
			{10 * time.Second, 1, 1},  // the renewed one is fresh
			{645 * time.Second, 1, 2}, // and due again
			{time.Hour, 2, 2},         // ended: nothing is left to renew
		}
		for _, step := range steps {
			time.Sleep(step.after)
			if _, err := client.List(t.Context(), appDev); err != nil {
				t.Fatal(err)
			}
			if f.logins != step.logins || f.renewals != step.renewals {
				t.Errorf("after %v more: %d logins and %d renewals, want %d and %d", step.after, f.logins, f.renewals, step.logins, step.renewals)
			}
		}
	})
}

func TestATokenThatRenewalCannotProlongIsReplacedByALogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake() // life and maximum are both 7200 s
		client := f.client(sdk.Config{})
		for range 4 {
			if _, err := client.List(t.Context(), appDev); err != nil {
				t.Fatal(err)
			}
			time.Sleep(5161 * time.Second)
		}
		if f.logins != 4 || f.renewals != 0 {
			t.Errorf("%d logins and %d renewals, want 4 and 0", f.logins, f.renewals)
		}
	})
}

func TestTheOldTokenServesUntilARenewalSucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.life, f.maxLife = 900, 7200
		down := false
		f.before = func(w http.ResponseWriter, r *http.Request) bool {
			if down && r.URL.Path != "/api/v3/secrets/raw" {
				fail(w, 503, "down")
				return true
			}
			return false
		}
		client := f.client(sdk.Config{})
		if err := client.Login(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(646 * time.Second)
		down = true
		for range 10 {
			if _, err := client.List(t.Context(), appDev); err != nil {
				t.Fatalf("while the login is down: %v", err)
			}
		}
		if got := f.count(renewCall); got != 1 {
			t.Errorf("%d renewals were tried by ten calls in one moment, want 1", got)
		}
		time.Sleep(128 * time.Second) // half of the rest: due again
		down = false
		if _, err := client.List(t.Context(), appDev); err != nil || f.renewals != 1 {
			t.Errorf("after the outage: %d renewals, %v, want 1", f.renewals, err)
		}
	})
}

func TestOneNewLoginFollowsARefusedToken(t *testing.T) {
	refuse := func(times int, status int, body api.Error) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/api/v3/secrets/raw" || times == 0 {
				return false
			}
			times--
			w.WriteHeader(status)
			answer(w, body)
			return true
		}
	}
	tests := []struct {
		name   string
		before func(http.ResponseWriter, *http.Request) bool
		config sdk.Config
		logins int
		want   error
	}{
		{"refused once", refuse(1, 401, api.Error{}), sdk.Config{}, 2, nil},
		{"refused always", refuse(99, 401, api.Error{}), sdk.Config{}, 2, api.ErrUnauthenticated},
		{"expired, as other servers say it", refuse(1, 403, api.Error{Name: "TokenError"}), sdk.Config{}, 2, nil},
		{"denied", refuse(1, 403, api.Error{Name: "PermissionDenied"}), sdk.Config{}, 1, api.ErrDenied},
		{"a token that was given", refuse(1, 401, api.Error{}), sdk.Config{AccessToken: "given"}, 0, api.ErrUnauthenticated},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := newFake()
			f.before = test.before
			f.tokens["given"] = true
			_, err := f.client(test.config).List(t.Context(), appDev)
			if !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			if f.logins != test.logins {
				t.Errorf("%d logins, want %d", f.logins, test.logins)
			}
		})
	}
}

func TestCredentialsAreAskedAtEachLogin(t *testing.T) {
	f := newFake()
	given := []string{"st.old", goodSecret}
	client := sdk.NewClient(sdk.Config{Transport: f, Credentials: func(context.Context) (string, string, error) {
		secret := given[0]
		given = given[1:]
		return goodID, secret, nil
	}})
	if err := client.Login(t.Context()); !errors.Is(err, api.ErrUnauthenticated) {
		t.Errorf("with the old secret: %v, want %v", err, api.ErrUnauthenticated)
	}
	if err := client.Login(t.Context()); err != nil {
		t.Errorf("with the new one: %v", err)
	}
}

func TestClientsThatWereStartedTogetherDoNotRenewTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.life, f.maxLife = 900, 7200
		clients := make([]*sdk.Client, 200)
		for i := range clients {
			clients[i] = f.client(sdk.Config{})
		}
		start := time.Now()
		renewals := func(at time.Duration) int {
			time.Sleep(time.Until(start.Add(at)))
			for _, client := range clients {
				if _, err := client.List(t.Context(), appDev); err != nil {
					t.Fatal(err)
				}
			}
			return f.renewals
		}
		renewals(0)
		early, half, late := renewals(555*time.Second-1), renewals(600*time.Second), renewals(645*time.Second)
		if early != 0 || half < 50 || half > 150 || late != 200 {
			t.Errorf("of 200 clients %d had renewed before 555 s, %d by 600 s and %d by 645 s, want none, about half and all", early, half, late)
		}
	})
}

func TestALoginFollowsARefusedRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.life, f.maxLife = 900, 7200
		f.before = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/api/v1/auth/token/renew" {
				return false
			}
			fail(w, 401, "the client secret of this token was revoked")
			return true
		}
		client := f.client(sdk.Config{})
		if err := client.Login(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(646 * time.Second)
		if _, err := client.List(t.Context(), appDev); err != nil {
			t.Error(err)
		}
		if f.logins != 2 || f.count(renewCall) != 1 || f.count(listCall) != 1 {
			t.Errorf("%d logins, %d renewals and %d lists, want 2, 1 and 1", f.logins, f.count(renewCall), f.count(listCall))
		}
	})
}

// gate holds the requests with one path until they are let go, and keeps the
// tokens of the others.
type gate struct {
	path    string
	arrived chan struct{}
	let     chan int // the status to answer with; 0 lets the fake answer

	mu     sync.Mutex // guards what follows
	tokens []string
}

func (g *gate) before(w http.ResponseWriter, r *http.Request) bool {
	if r.URL.Path == g.path {
		g.arrived <- struct{}{}
		status := <-g.let
		if status != 0 {
			fail(w, status, "as the test asked")
		}
		return status != 0
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tokens = append(g.tokens, r.Header.Get("Authorization"))
	return false
}

const (
	loginPath = "/api/v1/auth/universal-auth/login"
	renewPath = "/api/v1/auth/token/renew"
)

// gated is a fake and a client of it that is logged in with token-1. From now
// on requests with the path wait at the gate.
func gated(t *testing.T, path string) (*fake, *gate, *sdk.Client) {
	t.Helper()
	f := newFake()
	f.life, f.maxLife = 900, 7200
	client := f.client(sdk.Config{MaxRetries: -1})
	if err := client.Login(t.Context()); err != nil {
		t.Fatal(err)
	}
	g := &gate{path: path, arrived: make(chan struct{}), let: make(chan int)}
	f.before = g.before
	return f, g, client
}

func TestAReloginLetsTheOldTokenServeUntilItSucceeded(t *testing.T) {
	tests := []struct {
		name   string
		status int // of the answer to the new login
		want   error
		after  string // the token of calls after it
	}{
		{"it succeeds", 0, nil, "Bearer token-2"},
		{"the new credentials are refused", 401, api.ErrUnauthenticated, "Bearer token-1"},
		{"the server is down", 503, api.ErrUnavailable, "Bearer token-1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, g, client := gated(t, loginPath)
				outcome := make(chan error, 1)
				go func() { outcome <- client.Relogin(t.Context()) }()
				<-g.arrived
				if _, err := client.List(t.Context(), appDev); err != nil {
					t.Errorf("during the login: %v", err)
				}
				g.let <- test.status
				if err := <-outcome; !errors.Is(err, test.want) {
					t.Errorf("Relogin gave %v, want %v", err, test.want)
				}
				if _, err := client.List(t.Context(), appDev); err != nil {
					t.Errorf("after the login: %v", err)
				}
				if diff := cmp.Diff([]string{"Bearer token-1", test.after}, g.tokens); diff != "" {
					t.Error(diff)
				}
				if n := f.count(loginCall); n != 2 {
					t.Errorf("%d logins, want 2", n)
				}
			})
		})
	}
}

func TestAReloginDoesNotTrustALoginWithOlderCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		g := &gate{path: loginPath, arrived: make(chan struct{}), let: make(chan int)}
		f.before = g.before
		secret := "st.old"
		client := sdk.NewClient(sdk.Config{Transport: f, Credentials: func(context.Context) (string, string, error) { return goodID, secret, nil }})
		outcome := make(chan error, 1)
		go client.Login(t.Context())
		<-g.arrived
		secret = goodSecret // while the login with the old one is under way
		go func() { outcome <- client.Relogin(t.Context()) }()
		synctest.Wait()
		if n := f.count(loginCall); n != 1 {
			t.Errorf("%d logins at once, want 1", n)
		}
		g.let <- 0
		<-g.arrived
		g.let <- 0
		if err := <-outcome; err != nil {
			t.Errorf("Relogin gave %v", err)
		}
	})
}

func TestAReloginGivesUpWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, g, client := gated(t, loginPath)
		go client.Relogin(t.Context())
		<-g.arrived
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := client.Relogin(ctx); !errors.Is(err, context.Canceled) || !errors.Is(err, api.ErrUnavailable) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
		g.let <- 0
	})
}

func TestAReloginNeedsCredentials(t *testing.T) {
	f := newFake()
	if err := f.client(sdk.Config{}).Relogin(t.Context()); err != nil || f.logins != 1 {
		t.Errorf("without a token: %v and %d logins, want one", err, f.logins)
	}
	if err := f.client(sdk.Config{AccessToken: "given"}).Relogin(t.Context()); !errors.Is(err, api.ErrInvalid) {
		t.Errorf("with a token that was given: %v, want %v", err, api.ErrInvalid)
	}
	if err := sdk.NewClient(sdk.Config{SiteURL: "kms"}).Relogin(t.Context()); !errors.Is(err, api.ErrInvalid) {
		t.Errorf("without a server: %v, want %v", err, api.ErrInvalid)
	}
}

func TestATokenThatWasRefusedDuringItsRenewalDoesNotComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, g, client := gated(t, renewPath)
		time.Sleep(646 * time.Second)
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { _, err := client.List(t.Context(), appDev); first <- err }()
		<-g.arrived
		f.mu.Lock()
		delete(f.tokens, "token-1")
		f.mu.Unlock()
		go func() { _, err := client.List(t.Context(), appDev); second <- err }() // is refused, and waits for the renewal
		synctest.Wait()
		f.before = func(w http.ResponseWriter, r *http.Request) bool { // the login that follows the renewal fails
			f.before = nil
			fail(w, 503, "down")
			return true
		}
		g.let <- 401
		if err := errors.Join(<-first, <-second); err != nil {
			t.Error(err)
		}
		if n := f.count(loginCall); n != 3 {
			t.Errorf("%d logins, want the first, the one that failed, and one more", n)
		}
	})
}
