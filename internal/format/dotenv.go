package format

import (
	"bytes"
	"strings"
)

// Dotenv is the pairs as KEY=value lines.
//
// A POSIX shell that sources the file gets each value exactly. The parsers of
// other languages differ in what they make of quotes and backslashes, so each
// value has the plainest form that holds it: bare, then in single quotes, then
// in double quotes, with a backslash before \, ", $ and ` only if there is no
// other way. Line breaks stand as they are, inside the quotes.
func Dotenv(pairs []Pair) ([]byte, error) {
	if err := checkVariables("a dotenv file", pairs); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	for _, p := range pairs {
		out.WriteString(p.Key)
		out.WriteByte('=')
		out.WriteString(quote(p.Value))
		out.WriteByte('\n')
	}
	return out.Bytes(), nil
}

func quote(value string) string {
	switch {
	case strings.Trim(value, letters+digits+"-./:@%+,") == "":
		return value
	case !strings.Contains(value, "'"):
		return "'" + value + "'"
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`, "`", "\\`").Replace(value) + `"`
}
