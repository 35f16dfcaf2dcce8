// Package format is secrets as the text of a file, in the forms that programs
// read, and as the environment of a process.
//
// Each form is a pure function of the pairs: the same pairs in the same order
// are the same bytes, so that a set that did not change is not written again.
// A program that reads the form with its usual parser gets each value exactly,
// as a string, whatever it looks like. What a form cannot hold is refused.
//
// The package must never change a value to make it fit, and never puts one
// into an error or a log.
package format

// SPDX-License-Identifier: Apache-2.0
