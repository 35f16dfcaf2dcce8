package sdk

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/hanzoai/kms/api"
)

// session is an access token and its times. The zero session is none.
type session struct {
	token   string
	renewAt time.Time // two thirds of the token's life, or later after a failed renewal
	endsAt  time.Time // after this the server takes it no longer
	lastsTo time.Time // no renewal goes past this
}

// flight is a login or renewal under way. Its outcome may be read once done is
// closed.
type flight struct {
	done      chan struct{}
	token     string
	err       error
	abandoned bool // it ended with its caller's context, which says nothing about others
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
			c.fly(ctx, running)
			return running.token, running.err
		}
		select {
		case <-running.done:
		case <-ctx.Done():
			return "", api.Errorf(api.ErrUnavailable, "wait for the login: %w", ctx.Err())
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
	if c.login != nil {
		return "", c.login, false
	}
	c.login = &flight{done: make(chan struct{})}
	return "", c.login, true
}

// fly renews the session or logs in, and tells those who wait, even when
// Config.Credentials panics.
func (c *Client) fly(ctx context.Context, f *flight) {
	c.mu.Lock()
	next := c.session
	c.mu.Unlock()
	err := errors.New("log in: ended by a panic")
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.session, c.login = next, nil
		f.token, f.err, f.abandoned = next.token, err, err != nil && ctx.Err() != nil
		close(f.done)
	}()
	next, err = c.refresh(ctx, next)
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
		renewAt: asked.Add(life / 3 * 2),
		endsAt:  asked.Add(life),
		lastsTo: lastsTo,
	}, nil
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

// Login logs in if no access token is there yet. Every call does so by itself;
// Login is for those who want to know early.
func (c *Client) Login(ctx context.Context) error {
	if c.site.err != nil {
		return c.site.err
	}
	_, err := c.accessToken(ctx)
	return err
}

// Renew asks the server for a longer life of the access token now. The client
// does so by itself at two thirds of the token's life.
func (c *Client) Renew(ctx context.Context) error {
	token, err := c.currentToken()
	if err != nil {
		return err
	}
	c.mu.Lock()
	old := c.session
	c.mu.Unlock()
	old.token = token
	next, err := c.renew(ctx, old, false)
	if err != nil || c.config.AccessToken != "" {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session.token == token {
		c.session = next
	}
	return nil
}

// Revoke ends the access token at the server. The next call logs in anew.
func (c *Client) Revoke(ctx context.Context) error {
	token, err := c.currentToken()
	if err != nil {
		return err
	}
	defer c.forget(token)
	in := struct {
		AccessToken string `json:"accessToken"`
	}{token}
	_, err = c.sendRetrying(ctx, request{
		method: http.MethodPost, path: "/api/v1/auth/token/revoke", body: in, repeatable: true,
	}, token)
	return err
}

// currentToken is the token that Renew and Revoke are about: never a new one.
func (c *Client) currentToken() (string, error) {
	if c.site.err != nil {
		return "", c.site.err
	}
	if c.config.AccessToken != "" {
		return c.config.AccessToken, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session.token == "" {
		return "", api.Errorf(api.ErrUnauthenticated, "there is no access token yet: the first call logs in")
	}
	return c.session.token, nil
}

// UserLogin logs a person in and gives the access token, for the AccessToken
// of a Config.
func (c *Client) UserLogin(ctx context.Context, email, password string) (api.Value, error) {
	var out struct {
		AccessToken api.Value `json:"accessToken"`
	}
	err := c.callRequest(ctx, request{
		method: http.MethodPost,
		path:   "/api/v3/auth/login",
		body: struct {
			Email    string `json:"email"`
			Password string `json:"password"`
		}{email, password},
		open: true, repeatable: true,
	}, &out)
	return out.AccessToken, err
}
