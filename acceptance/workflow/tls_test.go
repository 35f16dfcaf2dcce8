package workflow_test

import (
	"encoding/json"
	"errors"
	"os/exec"
	"testing"
)

func TestServerSpeaksTLS13AndRefusesTLS12(t *testing.T) {
	if _, err := viewer(); err != nil { // without with-server, curl would go to the real host
		t.Fatal(err)
	}
	const address = "https://kms.hanzo.ai/api/status"
	body, err := exec.CommandContext(t.Context(), "curl", "-sS", "--tlsv1.3", address).Output()
	var status struct{ Message string }
	if err != nil || json.Unmarshal(body, &status) != nil || status.Message != "Ok" {
		t.Errorf("with TLS 1.3: %q, %v", status.Message, err)
	}
	const handshakeFailed = 35
	_, err = exec.CommandContext(t.Context(), "curl", "-sS", "--tls-max", "1.2", address).Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != handshakeFailed {
		t.Errorf("with TLS 1.2: %v, want curl's exit code %d", err, handshakeFailed)
	}
}
