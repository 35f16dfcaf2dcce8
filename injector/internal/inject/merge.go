package inject

import (
	"encoding/json"
	"maps"
	"slices"
)

// merge brings what is wanted into a list. An element of ours that already does
// what one wanted element asks for stays, in its place, with what an API server
// or others added to it; any other of ours goes.
func merge(list []json.RawMessage, ours func(json.RawMessage) bool, wanted []json.RawMessage) []json.RawMessage {
	var merged []json.RawMessage
	left := slices.Clone(wanted)
	for _, element := range list {
		if !ours(element) {
			merged = append(merged, element)
			continue
		}
		if at := slices.IndexFunc(left, covered(element)); at >= 0 {
			merged = append(merged, element)
			left = slices.Delete(left, at, at+1)
		}
	}
	return append(merged, left...)
}

// covered gives the test whether an element does what a wanted one asks for.
func covered(element json.RawMessage) func(json.RawMessage) bool {
	return func(wanted json.RawMessage) bool {
		var have, want any
		return json.Unmarshal(element, &have) == nil && json.Unmarshal(wanted, &want) == nil && covers(have, want)
	}
}

// covers reports whether have holds all of want. An object may have further
// members, which are defaults, and a list of objects further elements, such as
// the mounts that a cluster gives to every container. Lists of texts, such as
// arguments, are the same or not.
func covers(have, want any) bool {
	switch want := want.(type) {
	case map[string]any:
		have, same := have.(map[string]any)
		return same && coversObject(have, want)
	case []any:
		have, same := have.([]any)
		return same && coversList(have, want)
	}
	return have == want
}

func coversObject(have, want map[string]any) bool {
	for name, value := range want {
		if got, found := have[name]; !found || !covers(got, value) {
			return false
		}
	}
	return true
}

func coversList(have, want []any) bool {
	left := want
	for _, element := range have {
		_, isObject := element.(map[string]any)
		switch {
		case len(left) > 0 && covers(element, left[0]):
			left = left[1:]
		case !isObject:
			return false
		}
	}
	return len(left) == 0
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
