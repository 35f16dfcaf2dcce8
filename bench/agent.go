package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/hanzoai/kms/agent/config"
)

// tmpfs is where Linux keeps one for everybody.
const tmpfs = "/dev/shm"

// measureAgent starts the agent five times for the same keys.
func measureAgent(ctx context.Context, e *engine, i *instance, dir string) (*agentFigures, error) {
	info, err := os.Stat(e.bin.agent)
	if err != nil {
		return nil, err
	}
	figures := &agentFigures{BinaryBytes: info.Size()}
	id, secret := filepath.Join(dir, "client-id"), filepath.Join(dir, "client-secret")
	if err := errors.Join(os.WriteFile(id, []byte(i.agentID), 0o600), os.WriteFile(secret, []byte(i.agent.Secret.Reveal()), 0o600)); err != nil {
		return nil, err
	}
	var all []time.Duration
	for range 5 {
		took, resident, err := startAgent(ctx, e, config.Config{Version: config.Version, Server: "http://" + e.server.address,
			Credentials: config.Credentials{ClientIDFile: id, ClientSecretFile: secret},
			Sources:     []config.Source{{Project: "agent", Environment: "prod"}}, Outputs: []config.Output{{}, {Format: "dotenv", File: ".env"}}})
		if err != nil {
			return nil, err
		}
		all = append(all, took)
		figures.ResidentKiB = max(figures.ResidentKiB, resident)
	}
	figures.FilesMS = median(all)
	return figures, nil
}

// startAgent starts the agent and gives the time until its files are in place,
// and its resident memory a second later.
func startAgent(ctx context.Context, e *engine, c config.Config) (took time.Duration, resident int64, err error) {
	if c.Directory, err = os.MkdirTemp(tmpfs, "kms-bench-"); err != nil {
		return 0, 0, err
	}
	defer os.RemoveAll(c.Directory)
	text, err := json.Marshal(c)
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	agent, err := start("", append(os.Environ(), "KMS_AGENT_CONFIG="+string(text)), e.bin.agent, "run")
	if err != nil {
		return 0, 0, err
	}
	err = waitFor(ctx, filepath.Join(c.Directory, "KEY_49"))
	took = time.Since(began)
	if err == nil {
		time.Sleep(time.Second)
		resident = agent.resident()
	}
	return took, resident, errors.Join(err, agent.stop())
}

func waitFor(ctx context.Context, path string) error {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline) && ctx.Err() == nil; time.Sleep(500 * time.Microsecond) {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
	}
	return errors.New("its files are not in place after 10 s")
}
