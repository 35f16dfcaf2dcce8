package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/hanzoai/kms/internal/pgtest"
)

// newDatabase is the URI of an empty database, "" for SQLite, and what removes
// it. Errors hold no part of the URI, which has a password.
func newDatabase(ctx context.Context, engine string) (uri string, drop func() error, err error) {
	switch engine {
	case "sqlite":
		return "", func() error { return nil }, nil
	case "postgres":
	default:
		return "", nil, fmt.Errorf("there is no engine %q: give sqlite or postgres", engine)
	}
	admin := os.Getenv(pgtest.Variable)
	parsed, err := url.Parse(admin)
	if err != nil || !strings.HasPrefix(parsed.Scheme, "postgres") {
		return "", nil, fmt.Errorf("%s is not a URI: set it to postgres://USER:PASSWORD@HOST:PORT/DATABASE", pgtest.Variable)
	}
	name := "kms_acceptance_" + strings.ToLower(rand.Text())
	if err := execute(ctx, admin, "CREATE DATABASE "+name+" TEMPLATE template0"); err != nil {
		return "", nil, fmt.Errorf("create a database: %w", err)
	}
	parsed.Path = "/" + name
	return parsed.String(), func() error {
		return execute(context.WithoutCancel(ctx), admin, "DROP DATABASE "+name+" WITH (FORCE)")
	}, nil
}

func execute(ctx context.Context, uri, statement string) error {
	conn, err := pgx.Connect(ctx, uri)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.Exec(ctx, statement)
	return err
}
