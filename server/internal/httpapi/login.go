package httpapi

import (
	"time"

	"github.com/hanzoai/kms/api"
)

// status answers whether the server can serve: clients compare the message,
// probes the code.
func status(x *exchange) (any, error) {
	if err := x.h.cfg.Service.Ready(x.r.Context()); err != nil {
		return nil, err
	}
	return struct {
		Date                     api.Time `json:"date"`
		Message                  string   `json:"message"`
		EmailConfigured          bool     `json:"emailConfigured"`
		InviteOnlySignup         bool     `json:"inviteOnlySignup"`
		RedisConfigured          bool     `json:"redisConfigured"`
		SecretScanningConfigured bool     `json:"secretScanningConfigured"`
	}{Date: api.Time{Time: time.Now()}, Message: "Ok", InviteOnlySignup: true, RedisConfigured: x.h.cfg.Redis}, nil
}

// login answers {"accessToken","expiresIn","accessTokenMaxTTL","tokenType"}.
func login(x *exchange) (any, error) {
	var body struct {
		ClientID     *string    `json:"clientId"`
		ClientSecret *api.Value `json:"clientSecret"`
	}
	form, err := x.form()
	if err != nil {
		return nil, err
	}
	if form != nil {
		id, secret := form.Get("clientId"), api.NewValue(form.Get("clientSecret"))
		body.ClientID, body.ClientSecret = &id, &secret
	} else if err := x.body(&body); err != nil {
		return nil, err
	}
	if text(body.ClientID) == "" || body.ClientSecret == nil || body.ClientSecret.Len() == 0 {
		return nil, api.Errorf(api.ErrInvalid, "Give clientId and clientSecret, as JSON or as a form")
	}
	return x.h.cfg.Service.Login(x.r.Context(), x.caller, text(body.ClientID), *body.ClientSecret)
}

// tokenOf takes the token of a body, which goes before that of the header.
func (x *exchange) tokenOf() error {
	var body struct {
		AccessToken *api.Value `json:"accessToken"`
	}
	if err := x.body(&body); err != nil {
		return err
	}
	if body.AccessToken != nil && body.AccessToken.Len() > 0 {
		x.caller.Token = *body.AccessToken
	}
	return nil
}

// renewToken answers like login.
func renewToken(x *exchange) (any, error) {
	if err := x.tokenOf(); err != nil {
		return nil, err
	}
	return x.h.cfg.Service.Renew(x.r.Context(), x.caller)
}

// revokeToken answers {"message"}.
func revokeToken(x *exchange) (any, error) {
	if err := x.tokenOf(); err != nil {
		return nil, err
	}
	return object{"message": "Successfully revoked access token"}, x.h.cfg.Service.Revoke(x.r.Context(), x.caller)
}

// loginUser takes a person's e-mail address and password, and answers like login.
func loginUser(x *exchange) (any, error) {
	var body struct {
		Email    *string    `json:"email"`
		Password *api.Value `json:"password"`
	}
	if err := x.body(&body); err != nil {
		return nil, err
	}
	if text(body.Email) == "" || body.Password == nil {
		return nil, api.Errorf(api.ErrInvalid, "Give email and password")
	}
	return x.h.cfg.Service.LoginUser(x.r.Context(), x.caller, text(body.Email), *body.Password)
}

// setPassword takes the token of a set-password link and the new password.
func setPassword(x *exchange) (any, error) {
	var body struct {
		Token    *api.Value `json:"token"`
		Password *api.Value `json:"password"`
	}
	if err := x.body(&body); err != nil {
		return nil, err
	}
	if body.Token == nil || body.Password == nil {
		return nil, api.Errorf(api.ErrInvalid, "Give token, from the link, and password")
	}
	return object{"message": "Successfully set password"}, x.h.cfg.Service.SetPassword(x.r.Context(), x.caller, *body.Token, *body.Password)
}

// bootstrap sets up a new instance.
func bootstrap(x *exchange) (any, error) {
	var body struct {
		Email        *string    `json:"email"`
		Password     *api.Value `json:"password"`
		Organization *string    `json:"organization"`
	}
	if err := x.body(&body); err != nil {
		return nil, err
	}
	if text(body.Email) == "" || body.Password == nil || text(body.Organization) == "" {
		return nil, api.Errorf(api.ErrInvalid, "Give email, password and organization")
	}
	done, err := x.h.cfg.Service.Bootstrap(x.r.Context(), x.caller, text(body.Email), *body.Password, text(body.Organization))
	if err != nil {
		return nil, err
	}
	return object{
		"message":      "Successfully bootstrapped instance",
		"identity":     object{"id": done.Identity.ID, "name": done.Identity.Name, "credentials": object{"token": done.Token.Reveal()}},
		"organization": done.Organization,
		"user":         done.User,
	}, nil
}
