// Package apps_test runs the example applications: beside a directory that it
// changes by hand in the layout of the agent, and beside a real agent of a real
// server. What is run is what a reader copies.
package apps_test

// SPDX-License-Identifier: Apache-2.0
