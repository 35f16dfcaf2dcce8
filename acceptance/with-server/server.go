package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/hanzoai/kms/sdk"
)

// server is a kms-server that runs.
type server struct {
	dir     string
	address string
	process *exec.Cmd
	log     *bytes.Buffer // all it wrote; complete when ended is closed
	ended   chan struct{}
}

// start starts the server and returns when it serves.
func start(ctx context.Context, program, dir, databaseURI string) (*server, error) {
	s := &server{dir: dir, log: &bytes.Buffer{}, ended: make(chan struct{})}
	if err := writeCertificate(s.certificate(), filepath.Join(dir, "key.pem")); err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	keys, err := exec.CommandContext(ctx, program, "keygen").Output()
	if err != nil {
		return nil, fmt.Errorf("make keys: %w", err)
	}
	arguments := []string{"-listen", "127.0.0.1:0", "-admin-listen", "", "-tls-cert", s.certificate(), "-tls-key", filepath.Join(dir, "key.pem")}
	environment := append(os.Environ(), strings.Fields(string(keys))...)
	if databaseURI == "" {
		arguments = append(arguments, "-data", filepath.Join(dir, "data"))
	} else {
		environment = append(environment, "DB_CONNECTION_URI="+databaseURI)
	}
	s.process = exec.Command(program, arguments...)
	s.process.Env = environment
	// A signal from the terminal is for the command; the server outlives it.
	s.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return s, s.serve()
}

// serve starts the process and waits for the line in which it says its address.
func (s *server) serve() error {
	out, err := s.process.StdoutPipe()
	if err != nil {
		return err
	}
	s.process.Stderr = s.process.Stdout
	if err := s.process.Start(); err != nil {
		return err
	}
	address := make(chan string, 1)
	go func() {
		defer close(s.ended)
		defer close(address)
		for lines := bufio.NewReader(out); ; {
			line, err := lines.ReadBytes('\n')
			s.log.Write(line)
			if at := servingAt(line); at != "" {
				address <- at
			}
			if err != nil {
				return
			}
		}
	}()
	if s.address = <-address; s.address == "" {
		return fmt.Errorf("the server did not start: %w\n%s", s.process.Wait(), s.log)
	}
	return nil
}

// servingAt is the address in the log line that says so.
func servingAt(line []byte) string {
	var entry struct{ Msg, Address string }
	if json.Unmarshal(line, &entry) != nil || entry.Msg != "serving" {
		return ""
	}
	return entry.Address
}

// stop ends the server as an orchestrator does. A server that cannot end
// cleanly after the traffic of a suite is a finding, so its log is shown.
func (s *server) stop() error {
	if err := s.process.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop the server: %w", err)
	}
	<-s.ended
	if err := s.process.Wait(); err != nil {
		_, _ = io.Copy(os.Stderr, s.log)
		return fmt.Errorf("stop the server: %w", err)
	}
	return nil
}

func (s *server) certificate() string { return filepath.Join(s.dir, "certificate.pem") }

// environment sets the instance up and is what the command has to know.
func (s *server) environment(ctx context.Context) ([]string, error) {
	url := "https://" + s.address
	client := sdk.NewClient(sdk.Config{SiteURL: url, CACertFile: s.certificate()})
	set, err := client.Bootstrap(ctx, sdk.BootstrapInput{Email: "admin@example.com", Password: rand.Text(), Organization: "acceptance"})
	if err != nil {
		return nil, fmt.Errorf("set the instance up: %w", err)
	}
	if err := s.writeCurlrc(); err != nil {
		return nil, err
	}
	return []string{
		"KMS_ACCEPTANCE_URL=" + url, "KMS_ACCEPTANCE_TOKEN=" + set.Token.Reveal(), "KMS_ACCEPTANCE_ORG=" + set.Organization.ID,
		"KMS_ACCEPTANCE_CA=" + s.certificate(), "NODE_EXTRA_CA_CERTS=" + s.certificate(), "CURL_HOME=" + s.dir,
	}, nil
}

// writeCurlrc sends what curl wants from kms.hanzo.ai to the server, and has it
// trust nobody else.
func (s *server) writeCurlrc() error {
	_, port, err := net.SplitHostPort(s.address)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("connect-to = \"%s:443:127.0.0.1:%s\"\ncacert = \"%s\"\n", host, port, s.certificate())
	return os.WriteFile(filepath.Join(s.dir, ".curlrc"), []byte(text), 0o600)
}
