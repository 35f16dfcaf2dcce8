// Package spelling measures how far apart two words are, for errors that say
// what was probably meant. How near is near enough is for its callers to say:
// they know how many words there are, and how long.
package spelling

// SPDX-License-Identifier: Apache-2.0

// Distance is how many bytes must be put in, taken out or replaced to make b of
// a (Levenshtein). It takes time and memory by the product of their lengths, so
// callers bound what comes from outside.
func Distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
