// Package cluster is the Kubernetes that the injector runs in: what webhooks
// look up there, what one replica alone does, and the audit of pods that came
// to be without their secrets.
//
// It holds a cache of the namespaces' annotations, and nothing else of the
// whole cluster: ConfigMaps and Secrets are read one by one, when a pod names
// them. It must never list or watch Secrets, and no value of one leaves it.
package cluster

// SPDX-License-Identifier: Apache-2.0
