// Package workload knows where the objects of Kubernetes have their pods, and so
// where annotations for pods belong.
//
// It holds objects as they came, of any version, and decides nothing about
// pods: that is for package inject.
package workload

// SPDX-License-Identifier: Apache-2.0
