package deliver

import (
	"bytes"
	"strings"

	"github.com/hanzoai/kms/sdk"
)

// dotenv is the secrets as KEY=value lines.
//
// A POSIX shell that sources the file gets each value exactly. The parsers of
// other languages differ in what they make of quotes and backslashes, so each
// value has the plainest form that holds it: bare, then in single quotes, then
// in double quotes, with a backslash before \, ", $ and ` only if there is no
// other way. Line breaks stand as they are, inside the quotes.
func dotenv(secrets []sdk.Secret) ([]byte, error) {
	var out bytes.Buffer
	for _, s := range secrets {
		if !isVariable(s.SecretKey) {
			return nil, badConfig("the key %q cannot be the name of a variable in the dotenv file: rename it to letters, digits and '_', not beginning with a digit", s.SecretKey)
		}
		if strings.Contains(s.SecretValue, "\x00") {
			return nil, badConfig("the value of %q holds a zero byte, which no variable can: leave it out of the sources of the dotenv file", s.SecretKey)
		}
		out.WriteString(s.SecretKey)
		out.WriteByte('=')
		out.WriteString(quote(s.SecretValue))
		out.WriteByte('\n')
	}
	return out.Bytes(), nil
}

const (
	letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
	digits  = "0123456789"
)

func isVariable(key string) bool {
	return key != "" && strings.Contains(letters, key[:1]) && strings.Trim(key, letters+digits) == ""
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
