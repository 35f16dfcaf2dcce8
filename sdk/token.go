package sdk

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/hanzoai/kms/api"
)

// session is an access token and its times. The zero session is none.
type session struct {
	token   string
	renewAt time.Time // at about two thirds of the token's life, or later after a failed renewal
	endsAt  time.Time // after this the server takes it no longer
	lastsTo time.Time // no renewal goes past this
}

// flight is a login or renewal under way. Its outcome may be read once done is
// closed.
type flight struct {
	done      chan struct{}
	token     string
	err       error
	abandoned bool // its outcome says nothing about others: they try for themselves
}

// accessToken gives a token to use now. A call that finds none logs in, one
// that finds the token due renews it, and both do so in line; callers that
// come meanwhile use the old token while it lasts, or wait for the outcome.
func (c *Client) accessToken(ctx context.Context) (string, error) {
	if c.config.AccessToken != "" {
		return c.config.AccessToken, nil
	}
	for {
		token, running, mine := c.tokenOrFlight(time.Now())
		if running == nil {
			return token, nil
		}
		if mine {
			c.fly(ctx, running, c.refresh)
			return running.token, running.err
		}
		if err := running.wait(ctx); err != nil {
			return "", err
		}
		if !running.abandoned {
			return running.token, running.err
		}
	}
}

// tokenOrFlight gives either a token that is good now, or the login to wait
// for; mine says that the caller has to do it.
func (c *Client) tokenOrFlight(now time.Time) (token string, running *flight, mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	good := c.session.token != "" && now.Before(c.session.endsAt)
	if good && (c.login != nil || now.Before(c.session.renewAt)) {
		return c.session.token, nil, false
	}
	running, mine = c.flightNow()
	return "", running, mine
}

// flightNow gives the flight under way or, where there is none, begins one that
// is the caller's to fly. c.mu is held.
func (c *Client) flightNow() (running *flight, mine bool) {
	if c.login != nil {
		return c.login, false
	}
	c.login = &flight{done: make(chan struct{})}
	return c.login, true
}

// wait ends with the flight, whatever its outcome, or with ctx.
func (f *flight) wait(ctx context.Context) error {
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		return api.Errorf(api.ErrUnavailable, "wait for the login: %w", ctx.Err())
	}
}

// fly replaces the session by what follow makes of it, and tells those who
// wait, even when Config.Credentials panics. Where follow fails the session
// stays as it is.
func (c *Client) fly(ctx context.Context, f *flight, follow func(context.Context, session) (session, error)) {
	c.mu.Lock()
	old := c.session
	c.mu.Unlock()
	next, err := old, errors.New("log in: ended by a panic")
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		// A token that was refused meanwhile must not come back.
		refused := next.token == old.token && c.session.token != old.token
		if err == nil && !refused {
			c.session = next
		}
		f.token, f.err, f.abandoned = next.token, err, refused || err != nil && ctx.Err() != nil
		c.login = nil
		close(f.done)
	}()
	next, err = follow(ctx, old)
}

// refresh gives the session that follows old. While old lasts, a refresh that
// fails is tried once, not waited for: old serves on, and the next try is due
// after half of the time that is left.
func (c *Client) refresh(ctx context.Context, old session) (session, error) {
	now := time.Now()
	if old.token == "" || !now.Before(old.endsAt) {
		return c.universalLogin(ctx, false)
	}
	next, err := c.renewOrLogin(ctx, old)
	if err != nil {
		old.renewAt = now.Add(old.endsAt.Sub(now) / 2)
		return old, nil
	}
	return next, nil
}

// renewOrLogin renews where that buys time: a token whose maximum is as near
// as its end only lasts longer by a new login.
func (c *Client) renewOrLogin(ctx context.Context, old session) (session, error) {
	if old.lastsTo.After(old.endsAt) {
		if next, err := c.renew(ctx, old, true); err == nil {
			return next, nil
		}
	}
	return c.universalLogin(ctx, true)
}

// universalLogin logs in. Sending a login twice only makes a second token.
func (c *Client) universalLogin(ctx context.Context, once bool) (session, error) {
	id, secret, err := c.credentials(ctx)
	if err != nil {
		return session{}, err
	}
	asked := time.Now()
	var login api.Login
	err = c.callRequest(ctx, request{
		method: http.MethodPost,
		path:   "/api/v1/auth/universal-auth/login",
		body: struct {
			ClientID     string `json:"clientId"`
			ClientSecret string `json:"clientSecret"`
		}{id, secret},
		open: true, repeatable: true, once: once,
	}, &login)
	if err != nil {
		return session{}, err
	}
	return newSession(login, asked, asked.Add(seconds(login.AccessTokenMaxTTL)))
}

// credentials gives the client id and the client secret to log in with.
func (c *Client) credentials(ctx context.Context) (id, secret string, err error) {
	id, secret = c.config.ClientID, c.config.ClientSecret
	if c.config.Credentials != nil {
		if id, secret, err = c.config.Credentials(ctx); err != nil {
			return "", "", err
		}
	}
	if id == "" || secret == "" {
		return "", "", api.Errorf(api.ErrUnauthenticated, "log in: the client id or the client secret is empty: set ClientID and ClientSecret, or Credentials, or AccessToken")
	}
	return id, secret, nil
}

// renew asks for a longer life of the session's token.
func (c *Client) renew(ctx context.Context, old session, once bool) (session, error) {
	asked := time.Now()
	var login api.Login
	err := c.callRequest(ctx, request{
		method: http.MethodPost,
		path:   "/api/v1/auth/token/renew",
		body: struct {
			AccessToken string `json:"accessToken"`
		}{old.token},
		open: true, repeatable: true, once: once,
	}, &login)
	if err != nil {
		return session{}, err
	}
	return newSession(login, asked, old.lastsTo)
}

// newSession counts from the moment of asking, on the monotonic clock: the
// clocks of server and client need not agree. A token without a stated life
// does not end until the server says so.
func newSession(login api.Login, asked, lastsTo time.Time) (session, error) {
	if login.AccessToken == "" {
		return session{}, api.Errorf(api.ErrUnavailable, "log in: the answer holds no access token: is SiteURL the address of a KMS?")
	}
	life := seconds(login.ExpiresIn)
	if life <= 0 {
		life = seconds(1 << 31)
	}
	return session{
		token:   login.AccessToken,
		renewAt: asked.Add(renewalAge(life)),
		endsAt:  asked.Add(life),
		lastsTo: lastsTo,
	}, nil
}

// renewalAge is about two thirds of a token's life, a twentieth of it sooner or
// later, so that clients that were started together do not come together.
func renewalAge(life time.Duration) time.Duration {
	return life/3*2 - life/20 + rand.N(life/10)
}

func seconds(n int64) time.Duration { return time.Duration(min(n, 1<<31)) * time.Second }

// forget drops the session whose token the server did not take, unless a newer
// one is there already.
func (c *Client) forget(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session.token == token {
		c.session = session{}
	}
}
