package format_test

import (
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/internal/format"
)

// inherited is the environment that a real process gets.
func inherited(t *testing.T, environ []string) ([]string, error) {
	t.Helper()
	command := exec.Command("env", "-0")
	command.Env = environ
	output, err := command.Output()
	if err != nil {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(string(output), "\x00"), "\x00"), nil
}

func TestAProcessGetsItsEnvironmentExactly(t *testing.T) {
	pairs := forms["shell"].awkwardPairs()
	environ, err := format.Environment(pairs)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, p := range pairs {
		want = append(want, p.Key+"="+p.Value)
	}
	got, err := inherited(t, environ)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

func TestTheLongestVariableIsTheOneThatTheKernelTakes(t *testing.T) {
	longest := format.Pair{Key: "K", Value: strings.Repeat("v", 128<<10-len("K=\x00"))}
	environ, err := format.Environment([]format.Pair{longest})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := inherited(t, environ); err != nil || !cmp.Equal(environ, got) {
		t.Errorf("a process did not get the longest variable: %v", err)
	}
	longest.Value += "v"
	if _, err := format.Environment([]format.Pair{longest}); !errors.Is(err, api.ErrInvalid) {
		t.Errorf("one byte more: %v", err)
	}
	if _, err := inherited(t, []string{"K=" + longest.Value}); runtime.GOOS == "linux" && !errors.Is(err, syscall.E2BIG) {
		t.Errorf("the kernel takes one byte more: %v", err)
	}
}

func TestTheLargestEnvironmentStartsAProcess(t *testing.T) {
	var pairs []format.Pair
	for i := range 16 { // each a sixteenth of 1 MiB, with its end and pointer
		key := fmt.Sprintf("K%d", i)
		pairs = append(pairs, format.Pair{Key: key, Value: strings.Repeat("v", 1<<20/16-len(key+"=")-9)})
	}
	environ, err := format.Environment(pairs)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := inherited(t, environ); err != nil || !cmp.Equal(environ, got) {
		t.Errorf("a process did not get the largest environment: %v", err)
	}
	pairs[7].Value += "v"
	if _, err := format.Environment(pairs); !errors.Is(err, api.ErrInvalid) || strings.Contains(err.Error(), "vv") {
		t.Errorf("one byte more: %v", err)
	}
}
