// Package certs keeps the certificates by which the injector serves, so that
// nobody ever has to: it makes an authority and the leaves that it signs,
// renews them long before their end, and has API servers trust them.
//
//	leader: Secret, caBundles, time --plan--> Secret --> caBundles
//	all:    Secret, caBundles, time --------> the leaf that is served
//
// The Secret is the source of truth; whatever happens to it or to a caBundle,
// the leader mends it. The steps are ordered by what a replica may serve: it
// goes on with the leaf it has until API servers trust the next one, and an
// authority goes only when nobody serves by it any more.
//
// A leaf may instead come from a directory that somebody else fills, such as
// cert-manager. Then it is followed, and neither it nor a caBundle is touched.
//
// It must never log, return or put in an error a private key, nor write one
// anywhere but into that Secret.
package certs

// SPDX-License-Identifier: Apache-2.0
