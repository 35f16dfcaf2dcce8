package config

import "strings"

// nearest is the name that a misspelt one was probably meant to be: one that
// takes a third of its letters to change at most, or that it is a part of; ""
// if there is none.
func nearest(misspelt string, names []string) string {
	best, found := "", len(misspelt)/3+2
	if len(misspelt) > 64 {
		return ""
	}
	for _, name := range names {
		if d := distance(strings.ToLower(misspelt), strings.ToLower(name)); d < found {
			best, found = name, d
		}
	}
	if best != "" || len(misspelt) < 3 {
		return best
	}
	for _, name := range names {
		if strings.Contains(strings.ToLower(name), strings.ToLower(misspelt)) {
			return name
		}
	}
	return ""
}

// distance is how many bytes must be put in, taken out or replaced to make b
// of a (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j]+1, row[j+1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
