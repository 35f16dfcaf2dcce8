package sdk

import (
	"context"
	"net/http"

	"github.com/hanzoai/kms/api"
)

// BatchMode says what UpdateBatch does with keys that do not exist.
type BatchMode string

// The modes of UpdateBatch. The zero mode is FailOnNotFound.
const (
	FailOnNotFound BatchMode = "failOnNotFound" // nothing is written
	Upsert         BatchMode = "upsert"         // they are created
	Ignore         BatchMode = "ignore"         // they are left out
)

// CreateBatch makes several secrets of one folder, all or none.
func (c *Client) CreateBatch(ctx context.Context, scope Scope, secrets []SecretInput) ([]Secret, error) {
	return c.batch(ctx, http.MethodPost, scope, "", secrets)
}

// UpdateBatch changes several secrets of one folder, all or none.
func (c *Client) UpdateBatch(ctx context.Context, scope Scope, mode BatchMode, secrets []SecretInput) ([]Secret, error) {
	return c.batch(ctx, http.MethodPatch, scope, mode, secrets)
}

// DeleteBatch deletes several secrets of one folder, all or none, and gives
// what they were.
func (c *Client) DeleteBatch(ctx context.Context, scope Scope, keys []string) ([]Secret, error) {
	secrets := make([]SecretInput, len(keys))
	for i, key := range keys {
		secrets[i].Key = key
	}
	return c.batch(ctx, http.MethodDelete, scope, "", secrets)
}

func (c *Client) batch(ctx context.Context, method string, scope Scope, mode BatchMode, secrets []SecretInput) ([]Secret, error) {
	in := struct {
		scopeBody
		Mode    BatchMode    `json:"mode,omitempty"`
		Secrets []secretBody `json:"secrets"`
	}{scopeBody: scope.body(), Mode: mode, Secrets: make([]secretBody, len(secrets))}
	for i, s := range secrets {
		in.Secrets[i] = s.body()
		in.Secrets[i].SecretKey = s.Key
	}
	var out struct {
		Secrets []api.Secret `json:"secrets"`
	}
	if err := c.call(ctx, method, "/api/v3/secrets/batch/raw", nil, in, &out); err != nil {
		return nil, err
	}
	return fromWire(out.Secrets, secretFromWire), nil
}
