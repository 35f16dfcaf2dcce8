package tell_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/hanzoai/kms/agent/config"
	"github.com/hanzoai/kms/agent/internal/tell"
)

// TestMain lets the test binary be an application or an agent in a process of
// its own.
func TestMain(m *testing.M) {
	who, app := os.LookupEnv("TELL_APP")
	target, agent := os.LookupEnv("TELL_TARGET")
	switch {
	case app:
		beApp(who)
	case agent:
		beAgent(target)
	default:
		os.Exit(m.Run())
	}
}

// beAgent tells the target, and prints "told" or the error.
func beAgent(text string) {
	var target config.Target
	err := json.Unmarshal([]byte(text), &target)
	if err == nil {
		err = tell.Tell(context.Background(), target)
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("told")
}

// agent is a command that tells the target.
func agent(t *testing.T, target config.Target, program ...string) *exec.Cmd {
	t.Helper()
	text, err := json.Marshal(target)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program[0], program[1:]...)
	// The race detector would wait a second before the end.
	cmd.Env = append(os.Environ(), "TELL_TARGET="+string(text), "GORACE=atexit_sleep_ms=0")
	return cmd
}

func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	text, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v: %s", cmd.Args, err, text)
	}
	return string(text)
}

// canary stands for a secret in what others write.
const canary = "c4n4ry"

// mustFail tells the target in vain. Whatever an error says, it is no secret.
func mustFail(t *testing.T, target config.Target, says string) error {
	t.Helper()
	err := tell.Tell(t.Context(), target)
	if err == nil {
		t.Fatalf("%s was told, want an error with %q", tell.Name(target), says)
	}
	if !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), tell.Name(target)) {
		t.Errorf("error %q, want the target and %q in it", err, says)
	}
	if strings.Contains(err.Error(), canary) {
		t.Errorf("error %q repeats a secret", err)
	}
	return err
}

func mustTell(t *testing.T, target config.Target) {
	t.Helper()
	if err := tell.Tell(t.Context(), target); err != nil {
		t.Fatal(err)
	}
}

func TestANameHoldsNoSecret(t *testing.T) {
	for want, target := range map[string]config.Target{
		"pidFile /run/app.pid":               {PIDFile: "/run/app.pid", Signal: "SIGHUP"},
		"process nginx":                      {Process: "nginx", Signal: "SIGHUP"},
		"command nginx":                      {Command: []string{"nginx", "-g", canary}},
		"wrapper":                            {Wrapper: true},
		"nobody":                             {},
		"url http://127.0.0.1:8080/-/reload": {URL: "http://user:" + canary + "@127.0.0.1:8080/-/reload?token=" + canary + "#" + canary},
		"url that cannot be read":            {URL: "http://[::1/" + canary},
	} {
		if name := tell.Name(target); name != want {
			t.Errorf("Name is %q, want %q", name, want)
		}
	}
}

func TestATargetThatIsNotForHereIsAnError(t *testing.T) {
	t.Parallel()
	mustFail(t, config.Target{Wrapper: true}, "no pidFile, process, command or url")
	mustFail(t, config.Target{Process: newName(), Signal: "SIGKILL"}, "SIGKILL")
	mustFail(t, config.Target{PIDFile: writeFile(t, "4711"), Signal: ""}, "no signal")
}

func TestNobodyIsToldAfterTheContextEnded(t *testing.T) {
	t.Parallel()
	name := newName()
	a := startAs(t, name)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, target := range []config.Target{
		{Process: name, Signal: "SIGHUP", Timeout: "30s"},
		{PIDFile: writeFile(t, strconv.Itoa(a.pid)), Signal: "SIGHUP"},
		{Command: []string{"kill", "-HUP", strconv.Itoa(a.pid)}},
	} {
		if err := tell.Tell(ended, target); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, want the end of the context", tell.Name(target), err)
		}
	}
	a.expectSilence(t)
}
