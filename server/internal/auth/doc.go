// Package auth is the mechanics of credentials: how access tokens are signed
// and verified, how client secrets, opaque tokens and links are drawn, how
// passwords are hashed, where a request came from, and how wrong attempts are
// counted.
//
// It computes and remembers nothing but signing keys and counters. It must
// never open a store, decide what an identity may do, or put a credential into
// an error, and it never compares one with ==.
package auth

// SPDX-License-Identifier: Apache-2.0
