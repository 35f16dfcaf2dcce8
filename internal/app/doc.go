// Package app is what the mains share: flags with environment defaults, the
// logger, signals and exit codes, and the version.
//
// It imports little, because kms-agent runs in every pod and pays for each
// import thousands of times: whoever listens imports app/serve beside it. It
// must never print the value of a secret, in a usage text, an error or a log.
package app

// SPDX-License-Identifier: Apache-2.0
