// Package e2e holds the tests that need a cluster with pods. They run with the
// build tag e2e, in the network of the node that e2e/cluster starts, or against
// the cluster whose kubeconfig KMS_E2E_KUBECONFIG names:
//
//	make cluster-up
//	e2e/cluster/in go test -tags e2e -count=1 ./e2e
//	make cluster-down
//
// They talk to it by kubectl and helm, as its users do. Each test keeps to a
// namespace of its own, which it removes.
package e2e

// SPDX-License-Identifier: Apache-2.0
