// Package pgtest gives tests a real PostgreSQL: a database of the test's own,
// a clone of a migrated template, or a whole server that the test may crash.
//
// The server named by KMS_TEST_POSTGRES (a URI with superuser rights) is used
// where that is set. Otherwise a throw-away cluster is started, once per
// process; it dies with the process, however that ends, and its directory is
// removed. The cluster flushes every commit (fsync and synchronous_commit are
// on), because durability is among the things under test.
//
// It must never skip a test for want of a server, and never touch a database
// that it did not create.
package pgtest

// SPDX-License-Identifier: Apache-2.0
