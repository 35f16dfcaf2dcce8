// Package webhook answers an API server that asks what to do with a pod, or
// with what makes pods. It wraps package inject, which decides, into the
// AdmissionReview that comes by HTTP, and asks the cluster for what inject must
// know.
//
// It holds no state but the counters of its metrics, and has no side effects,
// so a dry run is like any other. A pod that asks for secrets never comes to be
// without them because something failed here: then the answer is a refusal.
// What makes pods is never refused: there are only warnings of it. The package
// must never log, count by or return what is in a pod; only a refusal or a
// warning, which go to whoever sent the object, may name its annotations.
package webhook

// SPDX-License-Identifier: Apache-2.0
