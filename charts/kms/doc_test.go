// Package chart_test renders the chart with the real helm and looks at what a
// cluster would be told.
//
// helm is the one on the path, or the one that e2e/cluster has built; without
// either, the tests are skipped.
package chart_test

// SPDX-License-Identifier: Apache-2.0
