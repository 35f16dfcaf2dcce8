// Package serve listens: HTTP with every timeout set, plain or TLS 1.3, with
// certificates that are replaced while it runs, and a drain at the end.
//
// It holds no routes and no policy. It must never log what a request or a
// response carries.
package serve

// SPDX-License-Identifier: Apache-2.0
