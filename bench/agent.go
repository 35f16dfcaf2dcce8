package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hanzoai/kms/agent/config"
	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/sdk"
)

// tmpfs is where Linux keeps one for everybody.
const tmpfs = "/dev/shm"

// agentBench measures the agent beside one server.
type agentBench struct {
	ctx     context.Context
	binary  string
	server  string // its address
	admin   *sdk.Client
	files   config.Credentials
	figures *agentFigures
}

// measureAgent starts the agent over and over for the same keys, leaves it
// alone for a minute, changes all keys of a larger set, and gives it more than
// it takes.
func measureAgent(ctx context.Context, e *engine, i *instance, dir string) (*agentFigures, error) {
	info, err := os.Stat(e.bin.agent)
	if err != nil {
		return nil, err
	}
	b := &agentBench{ctx: ctx, binary: e.bin.agent, server: "http://" + e.server.address, admin: i.admin, figures: &agentFigures{BinaryBytes: info.Size()},
		files: config.Credentials{ClientIDFile: filepath.Join(dir, "client-id"), ClientSecretFile: filepath.Join(dir, "client-secret")}}
	if err := errors.Join(os.WriteFile(b.files.ClientIDFile, []byte(i.agentID), 0o600),
		os.WriteFile(b.files.ClientSecretFile, []byte(i.agent.Secret.Reveal()), 0o600)); err != nil {
		return nil, err
	}
	for _, measure := range []func() error{b.starts, b.rest, b.swaps, b.refusal} {
		if err := measure(); err != nil {
			return nil, err
		}
	}
	return b.figures, nil
}

// run starts an agent with the configuration, filled in with what all have in
// common, and does something beside it.
func (b *agentBench) run(c config.Config, beside func(agent *process, directory string, began time.Time) error) (err error) {
	c.Version, c.Credentials = config.Version, b.files
	c.Sources = []config.Source{{Project: "agent", Environment: "prod", Path: "/"}}
	if c.Server == "" {
		c.Server = b.server
	}
	if c.Directory, err = os.MkdirTemp(tmpfs, "kms-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(c.Directory)
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	began := time.Now()
	agent, err := start("", append(os.Environ(), "KMS_AGENT_CONFIG="+string(text)), b.binary, "run")
	if err != nil {
		return err
	}
	return errors.Join(beside(agent, c.Directory, began), agent.stop())
}

var keysAndDotenv = []config.Output{{}, {Format: "dotenv", File: ".env"}}

// starts measures the time to the files in place, and memory a second later.
func (b *agentBench) starts() error {
	var all []time.Duration
	for range 5 {
		err := b.run(config.Config{Outputs: keysAndDotenv}, func(agent *process, directory string, began time.Time) error {
			if err := b.waitFor(filepath.Join(directory, fmt.Sprintf("KEY_%02d", agentKeys-1))); err != nil {
				return err
			}
			all = append(all, time.Since(began))
			time.Sleep(time.Second)
			b.figures.ResidentKiB = max(b.figures.ResidentKiB, agent.resident())
			b.figures.AnonymousKiB = max(b.figures.AnonymousKiB, agent.status("RssAnon:"))
			return nil
		})
		if err != nil {
			return err
		}
	}
	b.figures.FilesMS = median(all)
	return nil
}

// rest measures a minute with one poll that finds nothing new, once the start
// and the first poll are over.
func (b *agentBench) rest() error {
	return b.run(config.Config{Outputs: keysAndDotenv}, func(agent *process, directory string, _ time.Time) error {
		if err := b.waitFor(filepath.Join(directory, "..state")); err != nil {
			return err
		}
		time.Sleep(75 * time.Second)
		before, err := agent.onCPU()
		if err != nil {
			return err
		}
		time.Sleep(time.Minute)
		after, err := agent.onCPU()
		b.figures.RestUS = float64((after - before).Microseconds())
		return err
	})
}

// swaps measures the time from the end of the answer that holds a change to all
// files of the new set in place. It changes every key of a set of swapKeys.
func (b *agentBench) swaps() error {
	target, err := url.Parse(b.server)
	if err != nil {
		return err
	}
	var answered atomic.Int64 // when the last list was, in nanoseconds
	proxy := httputil.NewSingleHostReverseProxy(target)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proxy.ServeHTTP(w, r)
		if r.Method == http.MethodGet {
			answered.Store(time.Now().UnixNano())
		}
	}))
	defer front.Close()
	var all []time.Duration
	err = b.run(config.Config{Server: front.URL, PollInterval: "1s"}, func(_ *process, directory string, _ time.Time) error {
		for round := range 6 {
			last, _ := os.Readlink(filepath.Join(directory, "..data"))
			if err := b.change(round); err != nil {
				return err
			}
			now, err := b.waitForSwap(directory, last)
			if err != nil {
				return err
			}
			if round > 0 { // the first adds the keys
				all = append(all, now.Sub(time.Unix(0, answered.Load())))
			}
		}
		return nil
	})
	if err == nil {
		b.figures.SwapMS = median(all)
	}
	return err
}

const swapKeys = 200

// change gives every key of the set a new value, in one transaction.
func (b *agentBench) change(round int) error {
	secrets := make([]sdk.SecretInput, swapKeys)
	for i := range secrets {
		value := fmt.Sprintf("%d-%s", round, randomText())
		secrets[i] = sdk.SecretInput{Key: fmt.Sprintf("KEY_%02d", i), Value: &value}
	}
	_, err := b.admin.UpdateBatch(b.ctx, sdk.Scope{ProjectSlug: "agent", Environment: "prod", SecretPath: "/"}, sdk.Upsert, secrets)
	return err
}

// refusal gives the agent 1,000 keys of 64 KiB, and measures the most memory
// that it used before it refused them.
func (b *agentBench) refusal() error {
	server := httptest.NewServer(http.HandlerFunc(tooMuch))
	defer server.Close()
	return b.run(config.Config{Server: server.URL}, func(agent *process, directory string, _ time.Time) error {
		for deadline := time.Now().Add(10 * time.Second); !strings.Contains(agent.log.String(), `"reason":"NoSpace"`); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				return fmt.Errorf("the agent did not refuse: %s", &agent.log)
			}
		}
		b.figures.RefusalKiB = agent.peak()
		return nil
	})
}

func tooMuch(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/login") {
		json.NewEncoder(w).Encode(api.Login{AccessToken: "token", ExpiresIn: 7200, AccessTokenMaxTTL: 7200, TokenType: "Bearer"})
		return
	}
	value := strings.Repeat("x", 64<<10)
	fmt.Fprint(w, `{"secrets":[`)
	for i := range 1000 {
		if i > 0 {
			fmt.Fprint(w, ",")
		}
		fmt.Fprintf(w, `{"secretKey":"KEY_%d","secretValue":%q,"secretPath":"/","version":1}`, i, value)
	}
	fmt.Fprint(w, `],"imports":[]}`)
}

func (b *agentBench) waitFor(path string) error {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline) && b.ctx.Err() == nil; time.Sleep(500 * time.Microsecond) {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
	}
	return errors.New("its files are not in place after 10 s")
}

// waitForSwap waits until another generation than last is current.
func (b *agentBench) waitForSwap(directory, last string) (time.Time, error) {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline) && b.ctx.Err() == nil; time.Sleep(100 * time.Microsecond) {
		if current, err := os.Readlink(filepath.Join(directory, "..data")); err == nil && current != last {
			return time.Now(), nil
		}
	}
	return time.Time{}, errors.New("its files did not change in 10 s")
}

// onCPU is the time that all threads of the process spent on a processor, by
// the scheduler's own account: utime and stime count whole ticks of 10 ms.
func (p *process) onCPU() (total time.Duration, err error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return 0, err
		}
		nanoseconds, err := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
		if err != nil {
			return 0, err
		}
		total += time.Duration(nanoseconds)
	}
	return total, nil
}
