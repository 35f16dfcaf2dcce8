// Package deliver is what kms-agent does: it fetches secrets, renders them as
// files, writes the files as one set, and notifies the application.
//
//	Fetch -> Render -> Write -> Notify
//
// Each step is in a file of its own; deliver.go chains them. A set lies in one
// directory in the layout of the Kubernetes volumes, so that it changes as a
// whole, by one rename:
//
//	DIR/DB_URL        -> ..data/DB_URL  what applications open; under writeMode rename a hard link to that file
//	DIR/..data        -> ..7            the generation that counts: the rename is on this link
//	DIR/..7/DB_URL                      a file of this generation
//	DIR/..6/DB_URL                      the generation before, for readers that are still in it
//	DIR/previous      -> ..6            where it is asked for
//	DIR/..notified    -> ..7            the generation that everybody was told of
//	DIR/..told.1f3a   -> ..7            the one that a single target was told of, while others wait
//	DIR/..state                         the tags of what the generation was made from: a restart asks with them
//	DIR/..agent.sock                    health, metrics, and the line to wrappers
//
// The package never writes a value anywhere but into the set, never puts one
// into an error or a log, keeps none in memory between two changes, and never
// takes files away because the server is away: the last good set stays.
package deliver

// SPDX-License-Identifier: Apache-2.0
