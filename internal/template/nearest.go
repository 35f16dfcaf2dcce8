package template

import "strings"

func didYouMean(name string) string {
	if name == "" {
		return ""
	}
	return "; did you mean " + name + "?"
}

// elsewhere is our name of a function that other template languages for
// secrets call by another one; "" if there is none.
func elsewhere(name string) string {
	return map[string]string{
		"atoi":         "int",
		"base64Decode": "b64dec",
		"base64Encode": "b64enc",
		"coalesce":     "or",
		"default":      "secretOr",
		"envOrDefault": "secretOr",
		"keyOrDefault": "secretOr",
		"parseInt":     "int",
		"parseJSON":    "fromJson",
		"required":     "secret",
		"splitList":    "split",
		"toJSONPretty": "toJson",
		"toString":     "print",
		"trimSpace":    "trim",
		"urlencode":    "urlquery",
	}[name]
}

// nearest is the name that a misspelt one was probably meant to be: one that
// takes a third of its letters to change at most; "" if there is none.
func nearest(misspelt string, names []string) string {
	best, found := "", max(2, len(misspelt)/3+1)
	if len(misspelt) > 64 {
		return ""
	}
	for _, name := range names {
		if d := distance(strings.ToLower(misspelt), strings.ToLower(name)); d < found {
			best, found = name, d
		}
	}
	return best
}

// distance is how many bytes must be put in, taken out, replaced or swapped
// with the next one to make b of a (optimal string alignment).
func distance(a, b string) int {
	d := make([][]int, len(a)+1)
	for i := range d {
		d[i] = make([]int, len(b)+1)
		for j := range d[i] {
			d[i][j] = cheapest(a, b, d, i, j)
		}
	}
	return d[len(a)][len(b)]
}

// cheapest is the distance of a[:i] and b[:j], from those of shorter ones.
func cheapest(a, b string, d [][]int, i, j int) int {
	if i == 0 || j == 0 {
		return i + j
	}
	if a[i-1] == b[j-1] {
		return d[i-1][j-1]
	}
	least := 1 + min(d[i-1][j], d[i][j-1], d[i-1][j-1])
	if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
		least = min(least, 1+d[i-2][j-2])
	}
	return least
}
