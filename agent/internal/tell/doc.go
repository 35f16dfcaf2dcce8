// Package tell delivers one notification: it tells one target, once and now,
// that its secrets have changed.
//
// A target is a process to signal, found by a pid file or by its name, a
// command to run, or an address on this host to POST to. When to tell, how
// often to try again and what to remember are the caller's.
//
// The package holds nothing between two calls. It never puts what a command
// prints, a server answers or a pid file holds into an error: any of them may
// repeat a secret. It never signals itself, and never connects to another
// host.
package tell

// SPDX-License-Identifier: Apache-2.0
