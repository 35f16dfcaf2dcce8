package format

import (
	"bytes"
	"strings"
)

// Shell is the pairs as export KEY='value' lines, to be sourced by any POSIX
// shell. Within single quotes a shell takes every byte as it is, history and
// expansions included; a single quote itself stands outside them, as \'.
func Shell(pairs []Pair) ([]byte, error) {
	if err := checkVariables("a shell file", pairs); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	for _, p := range pairs {
		out.WriteString("export " + p.Key + "='")
		out.WriteString(strings.ReplaceAll(p.Value, "'", `'\''`))
		out.WriteString("'\n")
	}
	return out.Bytes(), nil
}
