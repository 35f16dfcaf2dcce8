// Package reports hears from the agents how it is with the secrets of their
// pods, and shows it where people look: in a condition of the pod, in Events of
// its owner and, for pods that ask for it, in a rollout of the owner.
//
// It holds answers about tokens for a short while, by their hashes, and the
// budgets that keep one pod, or many, from wearing the API server out. Which pod
// a report is about is what the API server says of its token, never what the
// report says. A report that is lost changes nothing.
//
// It must never take free text of an agent into an object of the cluster, never
// touch any other condition, and never keep or log a token.
package reports

// SPDX-License-Identifier: Apache-2.0
