// Package acceptance holds no code but tests: other people's clients, as their
// users get them, against a real kms-server. It is a module of its own, so that
// what those clients depend on stays out of the product.
//
// The tests run in the environment that acceptance/with-server makes, which
// "make acceptance" does. They must never change a client to suit the server.
package acceptance

// SPDX-License-Identifier: Apache-2.0
