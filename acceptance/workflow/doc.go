// Package workflow holds no code but tests: they run the steps of two GitHub
// workflows, the standard's own and examples/ci/github-actions.yml, the way a
// runner does, against a real kms-server under the name kms.hanzo.ai.
//
// The tests run in the environment that acceptance/with-server makes, which
// "make acceptance" does. They must never change a step to suit the server.
package workflow

// SPDX-License-Identifier: Apache-2.0
