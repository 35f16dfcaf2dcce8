// Package api is what travels on the wire: requests, responses, kinds of
// error, the rules for names and paths, and Value, the type of plaintext.
//
// Server, SDK, agent and controller share it, so that a name, a limit or a
// status code is decided once. It imports the standard library only and must
// never log, open a file or reach the network.
package api

// SPDX-License-Identifier: Apache-2.0
