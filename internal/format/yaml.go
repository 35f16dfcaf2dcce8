package format

import "github.com/hanzoai/kms/api"

// A key of YAML that has more characters than this with its quotes is not
// found by its readers: they give up the search for the colon.
const maxYAMLKey = 1024

// YAML is the pairs as one mapping, in their order, one to a line. Keys and
// values are all in double quotes, so that NO, 1e3, ~ and 2001-01-01 are
// strings in YAML 1.1 and 1.2 alike, and no line break is folded.
func YAML(pairs []Pair) ([]byte, error) {
	if err := checkText("a YAML file", pairs); err != nil {
		return nil, err
	}
	if len(pairs) == 0 {
		return []byte("{}\n"), nil
	}
	var out []byte
	for _, p := range pairs {
		start := len(out)
		out = appendQuoted(out, p.Key)
		if len(out)-start > maxYAMLKey {
			return nil, api.Errorf(api.ErrInvalid, "the key %q is too long for a YAML file, which takes at most %d bytes: rename it", p.Key, maxYAMLKey)
		}
		out = append(out, ": "...)
		out = appendQuoted(out, p.Value)
		out = append(out, '\n')
	}
	return out, nil
}
