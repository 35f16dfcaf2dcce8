// Package policy decides: may this subject do this action on this environment,
// path and key? Nothing else in the server holds an opinion on that question.
//
// It holds the words of the language (actions, rules, patterns), the table of
// built-in roles, and Access, the sum of what one subject holds in one project.
// It is pure: it must never read a clock, a database or a request, never keep
// state between calls, and never see a value.
//
// Rules only allow. A deny rule makes the answer depend on the order of rules
// and roles, so that adding a role can take a right away and removing one can
// give it; then nobody can tell by reading a role what its holder may do, and
// "does he hold everything that he is about to give?" has no cheap answer.
// Without denials access is a union: one more rule never takes anything away,
// the order means nothing, and what no rule allows is refused.
//
// Two things follow from others, so that no role has to repeat them: reading a
// secret implies describing it, and holding any rule at all in a project
// implies reading the project itself.
//
// A restricted environment is a ceiling on people. In it a person who is no
// admin holds only what those rules of custom roles give that name the
// environment; the ceiling is not lifted for what he holds by other rules, or
// a right to see the names in prod would turn a member's right to delete on.
// Machine identities are governed by their rules alone.
package policy

// SPDX-License-Identifier: Apache-2.0
