// Package debian gives tests the programs that they run beside ours, such as
// PostgreSQL, nginx and interpreters: where one is missing, and this is root
// on a Debian system, it comes from the distribution.
//
// It holds nothing. It is for tests only, and must never start a service.
package debian

// SPDX-License-Identifier: Apache-2.0
