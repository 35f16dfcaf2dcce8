// Package inject decides what a pod with kms.hanzo.ai/ annotations gets: the
// agent beside its containers, the volumes between them, and the agent's
// configuration. The answer is a JSON patch, or a refusal that says what to
// write instead.
//
// It holds the one table of annotations, and the shape of everything injected.
// It computes and touches nothing: no client, no clock, no chance. So the same
// pod always gives the same bytes, and a pod that was injected already, here or
// in a copy of it, gives an empty patch.
//
// It must never drop a field of the pod that it does not know, never show the
// credentials to a container of the application, and never leave a pod without
// its secrets in silence: what cannot work is refused, what may not work is
// warned of.
package inject

//go:generate go run ./internal/gen

// SPDX-License-Identifier: Apache-2.0
