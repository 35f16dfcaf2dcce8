// Package config is the configuration of kms-agent: JSON, in a file or in one
// environment variable. The injector writes it and the agent reads it.
//
// It holds places and paths, never a secret, and its errors repeat no value.
// It imports the standard library only.
package config

// SPDX-License-Identifier: Apache-2.0
