package deliver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/hanzoai/kms/agent/config"
	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/internal/format"
)

// followPoll is how often a wrapper looks by itself while nobody answers on
// the socket: the agent is being restarted.
const followPoll = 2 * time.Second

// follower takes variables from the set of an agent in another container, on
// the tmpfs that both mount. It needs neither network nor credential.
type follower struct {
	config config.Config
	log    *slog.Logger
	socket *http.Client
	have   string // the generation that was read last
}

func newFollower(c config.Config, log *slog.Logger) *follower {
	return &follower{config: c, log: log, socket: socketClient(c.Directory)}
}

// first waits for the first generation.
func (f *follower) first(ctx context.Context) ([]string, error) {
	for {
		env, err := f.read()
		if err == nil || ReasonOf(err) != Unreachable {
			return env, err
		}
		if sleep(ctx, followPoll/10) != nil {
			return nil, err
		}
	}
}

// next waits for a newer generation. Asking for it confirms the one before.
func (f *follower) next(ctx context.Context) ([]string, error) {
	run := trouble{what: "following the agent", log: f.log}
	for {
		told := f.ask(ctx)
		if !told {
			sleep(ctx, followPoll)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		before := f.have
		env, err := f.read()
		switch {
		case err != nil:
			sleep(ctx, run.retry(err, refreshBackoff))
		case f.have != before:
			return env, nil
		case told: // of one that is not there (any more)
			sleep(ctx, followPoll)
		}
	}
}

// ask waits for the agent to say that there is something newer.
func (f *follower) ask(ctx context.Context) (told bool) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://agent/changes?have="+f.have, nil)
	if err != nil {
		return false
	}
	response, err := f.socket.Do(request)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	io.Copy(io.Discard, io.LimitReader(response.Body, 1<<10))
	return response.StatusCode == http.StatusOK
}

// read reads the variables of the current generation.
func (f *follower) read() ([]string, error) {
	root, err := os.OpenRoot(f.config.Directory)
	if err != nil {
		return nil, api.Errorf(api.ErrUnavailable, "read the variables: %w", err)
	}
	defer root.Close()
	current, err := currentGeneration(root)
	switch {
	case err != nil:
		return nil, err
	case current == "":
		return nil, api.Errorf(api.ErrUnavailable, "read the variables: there are no secrets in %s yet: is an agent running for it?", f.config.Directory)
	}
	pairs, err := readPairs(root, current+"/"+f.config.Exec.File)
	if err != nil {
		return nil, fmt.Errorf("read the variables: %w", err)
	}
	env, err := variablesOf(f.config.Exec, pairs)
	if err == nil {
		f.have = current
	}
	return env, err
}

// readPairs reads a JSON output.
func readPairs(root *os.Root, name string) ([]format.Pair, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return nil, badConfig("the agent's set has no file %s: give it an output of format json with that name", name[strings.LastIndexByte(name, '/')+1:])
	}
	data, err := readFile(root, name, info.Size())
	defer clear(data)
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	if json.Unmarshal(data, &values) != nil {
		return nil, badConfig("%s is not a JSON output of an agent", name)
	}
	var pairs []format.Pair
	for _, key := range slices.Sorted(maps.Keys(values)) {
		pairs = append(pairs, format.Pair{Key: key, Value: values[key]})
	}
	return pairs, nil
}

// socketClient talks HTTP on the socket of the directory, over one connection:
// it is what the agent knows a wrapper by.
func socketClient(dir string) *http.Client {
	dialer := &net.Dialer{Timeout: followPoll}
	return &http.Client{Transport: &http.Transport{
		MaxConnsPerHost: 1,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			address, done, err := socketAddress(dir)
			if err != nil {
				return nil, err
			}
			defer done()
			return dialer.DialContext(ctx, "unix", address)
		},
	}}
}

// Probe asks the agent of the directory how it is doing: path is one of
// /healthz, /readyz and /startupz. An error says what is wrong.
func Probe(ctx context.Context, dir, path string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://agent"+path, nil)
	if err != nil {
		return err
	}
	response, err := socketClient(dir).Do(request)
	if err != nil {
		return api.Errorf(api.ErrUnavailable, "ask the agent of %s: nobody answers on its socket: %w", dir, errors.Unwrap(err))
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return errors.New(strings.TrimSpace(string(text)))
	}
	return nil
}
