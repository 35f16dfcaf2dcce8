package sdk

import (
	"context"
	"net/http"

	"github.com/hanzoai/kms/api"
)

// Login logs in if no access token is there yet. Every call does so by itself;
// Login is for those who want to know early.
func (c *Client) Login(ctx context.Context) error {
	if c.site.err != nil {
		return c.site.err
	}
	_, err := c.accessToken(ctx)
	return err
}

// Relogin logs in with the credentials of this moment although a token is
// there: for callers who know that the credentials changed. The token before
// serves all calls until that worked, and goes on serving where it failed. A
// login that is already under way may have older credentials, so that Relogin
// waits for its end and then makes its own.
func (c *Client) Relogin(ctx context.Context) error {
	switch {
	case c.site.err != nil:
		return c.site.err
	case c.config.AccessToken != "":
		return api.Errorf(api.ErrInvalid, "log in anew: AccessToken is set, which is never replaced: set ClientID and ClientSecret, or Credentials")
	}
	for {
		c.mu.Lock()
		running, mine := c.flightNow()
		c.mu.Unlock()
		if mine {
			c.fly(ctx, running, func(ctx context.Context, _ session) (session, error) { return c.universalLogin(ctx, false) })
			return running.err
		}
		if err := running.wait(ctx); err != nil {
			return err
		}
	}
}

// Renew asks the server for a longer life of the access token now. The client
// does so by itself at about two thirds of the token's life.
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
