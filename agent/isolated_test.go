package main_test

import (
	"bytes"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/hanzoai/kms/sdk"
)

// isolated is set in a process that has no network but loopback.
const isolated = "KMS_TEST_ISOLATED"

// TestServerSDKAndAgentNeedNoNetworkButTheirOwn runs itself once more in a
// network that leads nowhere, where the kernel counts what has no route.
func TestServerSDKAndAgentNeedNoNetworkButTheirOwn(t *testing.T) {
	if os.Getenv(isolated) == "" {
		if os.Getuid() != 0 {
			t.Skip("only root can make a network of its own")
		}
		again := exec.Command("unshare", "--net", "--", "sh", "-c", `ip link set lo up && exec "$0" "$@"`,
			os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		again.Env = append(os.Environ(), isolated+"=1")
		out, err := again.CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
			t.Errorf("on a network with no way out: %v\n%s", err, out)
		}
		return
	}
	s := newSite(t)
	value := s.Value()
	s.put("A", value)
	a := s.run("run")
	s.awaitFile("A", value)
	secrets, err := s.Client(s.who).ListSecrets(sdk.ListSecretsOptions{ProjectSlug: "app", Environment: "prod"})
	if err != nil || len(secrets) != 1 || secrets[0].SecretValue != value {
		t.Errorf("list: %v, %v", secrets, err)
	}
	a.terminate()
	s.Stop()
	if n := unroutable(t); n != 0 {
		t.Errorf("%d packets or connections wanted to leave this machine, want none", n)
	}
	// The counter would have seen one.
	sdk.NewClient(sdk.Config{SiteURL: "http://192.0.2.1", AccessToken: "none", MaxRetries: -1}).Status(t.Context())
	if unroutable(t) == 0 {
		t.Error("a connection that leaves this machine was not counted")
	}
}

// unroutable is the kernel's count of what this network had no route for.
func unroutable(t *testing.T) (n int) {
	t.Helper()
	text, err := os.ReadFile("/proc/net/snmp")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		switch {
		case fields[0] != "Ip:":
		case names == nil:
			names = fields
		default:
			n, err = strconv.Atoi(fields[slices.Index(names, "OutNoRoutes")])
		}
	}
	text6, _ := os.ReadFile("/proc/net/snmp6") // not there without IPv6
	for line := range strings.Lines(string(text6)) {
		if fields := strings.Fields(line); fields[0] == "Ip6OutNoRoutes" {
			n6, _ := strconv.Atoi(fields[1])
			n += n6
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}
