// Package render injects the pods in a stream of manifests, by the code that
// injects those of a cluster, so that people see beforehand what they get.
//
// It touches no cluster: what it knows of namespaces and profiles is in the
// stream, or said by the caller. A document that it does not change comes out
// as it came, and a stream with a pod that is denied does not come out at all,
// since half of it would be worse than nothing.
package render

// SPDX-License-Identifier: Apache-2.0
