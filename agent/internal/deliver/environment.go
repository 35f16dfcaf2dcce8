package deliver

import (
	"fmt"
	"slices"

	"github.com/hanzoai/kms/agent/config"
	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/internal/format"
)

// environment is the variables of a set, as KEY=value.
func environment(c config.Exec, set Set) ([]string, error) {
	pairs := make([]format.Pair, len(set.Secrets))
	for i, s := range set.Secrets {
		pairs[i] = format.Pair{Key: s.Name, Value: s.Value}
	}
	if len(c.Keys) == 0 && len(set.Missing) > 0 {
		return nil, missingVariable(set.Missing[0])
	}
	return variablesOf(c, pairs)
}

// variablesOf chooses and checks the variables.
func variablesOf(c config.Exec, pairs []format.Pair) ([]string, error) {
	if len(c.Keys) > 0 {
		pairs = slices.DeleteFunc(pairs, func(p format.Pair) bool { return !slices.Contains(c.Keys, p.Key) })
	}
	for _, key := range c.Keys {
		if !slices.ContainsFunc(pairs, func(p format.Pair) bool { return p.Key == key }) {
			return nil, missingVariable(key)
		}
	}
	env, err := format.Environment(pairs)
	if err != nil {
		return nil, fmt.Errorf("make the environment: %w", err)
	}
	return env, nil
}

func missingVariable(key string) error {
	return api.Errorf(api.ErrNotFound, "make the environment: there is no secret %q: add it, or take it out of the keys", key)
}
