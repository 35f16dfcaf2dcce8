package format

import "github.com/hanzoai/kms/api"

// What Linux takes at execve. A string of 128 KiB, its end counted, is the
// last that fits (MAX_ARG_STRLEN). All of them, each with its pointer, share a
// quarter of the stack's limit with the arguments and with the variables that
// are there already: 1 MiB is half of what the usual 8 MiB of stack leave.
const (
	maxString      = 128<<10 - 1
	maxEnvironment = 1 << 20
	perString      = 1 + 8 // the zero byte at its end, and its pointer
)

// Environment is the pairs as KEY=value strings for execve. What the kernel
// would refuse is refused here, where the error can name the key.
func Environment(pairs []Pair) ([]string, error) {
	if err := checkVariables("an environment", pairs); err != nil {
		return nil, err
	}
	environ, total := make([]string, 0, len(pairs)), 0
	for _, p := range pairs {
		variable := p.Key + "=" + p.Value
		if len(variable) > maxString {
			return nil, api.Errorf(api.ErrInvalid, "the variable %q has %d bytes with its name, and an environment takes at most %d: leave it out, or give it as a file", p.Key, len(variable), maxString)
		}
		environ, total = append(environ, variable), total+len(variable)+perString
	}
	if total > maxEnvironment {
		return nil, api.Errorf(api.ErrInvalid, "%d variables come to %d bytes, and an environment takes at most %d: leave some out, or give them as files", len(pairs), total, maxEnvironment)
	}
	return environ, nil
}
