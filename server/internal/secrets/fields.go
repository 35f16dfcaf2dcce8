package secrets

import (
	"encoding/json"
	"maps"
	"slices"
)

// fields is the metadata of an audit row: names and texts in turn, as JSON.
func fields(pairs ...string) string {
	all := map[string]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		all[pairs[i]] = clip(pairs[i+1], 512)
	}
	text, _ := json.Marshal(all) // texts always marshal
	return string(text)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
