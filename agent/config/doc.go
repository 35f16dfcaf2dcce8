// Package config is the configuration of kms-agent: JSON, in a file or in one
// environment variable. The injector writes it and the agent reads it.
//
// Config is the one definition of every option: the comments and tags of its
// fields make the schema and the list of options in docs/agent.md. The tag
// default is the value of a field that is left out, enum are its choices, and
// with are the fields beside which it has a meaning.
//
// It holds places and paths, never a secret, and its errors repeat no value.
// It imports the standard library, and spelling, only.
package config

//go:generate go run ./internal/gen

// SPDX-License-Identifier: Apache-2.0
