// Package template renders texts, such as configuration files, from a set of
// secrets. The language is that of text/template, and what can be called is
// the list of Functions.
//
// A template comes from whoever deploys an application, and is not trusted:
// its memory and its time are bounded, and it reaches no file, no network, no
// environment, no clock and no chance. It holds secrets only while Execute
// runs. Its errors repeat what the author wrote, and never a value nor a part
// of one.
//
// The syntax is read by text/template/parse; the trees are run by this
// package. Package text/template would bring texts of its own into the errors,
// cannot be bounded, and looks methods up by their names, which keeps the linker
// from leaving unused ones out: more than a megabyte of the agent's binary.
package template

// SPDX-License-Identifier: Apache-2.0
