// Package deliver is what kms-agent does: it fetches secrets, renders them as
// files, writes the files as one set, and notifies the application.
//
//	Fetch -> Render -> Write -> Notify
//
// Each step is a plain function in a file of its own; deliver.go chains them.
// A set lies in one directory in the layout of the Kubernetes volumes, so that
// it changes as a whole, by one rename:
//
//	DIR/DB_URL     -> ..data/DB_URL    what applications open
//	DIR/..data     -> ..7              the generation that counts: the rename is on this link
//	DIR/..7/DB_URL                     a file of this generation
//	DIR/..6/DB_URL                     the generation before, for readers that are still in it
//	DIR/..notified -> ..7              the generation that the application was told of
//
// The package never writes a value anywhere but into the set, never puts one
// into an error or a log, and never takes files away because the server is
// away or refuses: the last good set stays.
package deliver

// SPDX-License-Identifier: Apache-2.0
