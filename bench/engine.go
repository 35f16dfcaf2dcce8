package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hanzoai/kms/internal/pgtest"
)

// engine is a server on its database.
type engine struct {
	name     string
	version  string // of the database
	bin      binaries
	env      []string
	args     []string
	admin    string         // address of the metrics
	postgres *pgtest.Server // nil on SQLite
	server   *process
}

// startEngine makes the database and starts the server on it for the first time.
func startEngine(ctx context.Context, name string, bin binaries, p plan) (*engine, error) {
	e := &engine{name: name, bin: bin}
	keys, err := exec.CommandContext(ctx, bin.server, "keygen").Output()
	if err != nil {
		return nil, fmt.Errorf("make keys: %w", err)
	}
	e.env = append(os.Environ(), strings.Fields(string(keys))...)
	if e.admin, err = freeAddress(); err != nil {
		return nil, err
	}
	e.args = []string{"-admin-listen", e.admin}
	if err := e.database(ctx, p); err != nil {
		return nil, err
	}
	if p.profile != "" {
		e.args = append(e.args, "-pprof")
	}
	if err := e.launch(ctx); err != nil {
		return nil, errors.Join(err, e.stop())
	}
	return e, nil
}

func (e *engine) database(ctx context.Context, p plan) (err error) {
	var settings []string
	switch e.name {
	case "sqlite":
		e.args = append(e.args, "-data", filepath.Join(p.dir, "sqlite"))
		e.version = "SQLite " + moduleVersion("modernc.org/sqlite")
		return nil
	case "postgres-3ms":
		settings = []string{"commit_delay=3000", "commit_siblings=0"}
	case "postgres":
	default:
		return fmt.Errorf("there is no engine %q: there are postgres, postgres-3ms, sqlite and bare", e.name)
	}
	if e.postgres, err = pgtest.Start(ctx, pgtest.Options{Settings: settings}); err != nil {
		return err
	}
	e.env = append(e.env, "DB_CONNECTION_URI="+e.postgres.URI())
	e.version, err = postgresVersion(ctx, e.postgres.URI())
	return err
}

// launch starts the server and waits until it answers.
func (e *engine) launch(ctx context.Context) error {
	address, err := freeAddress()
	if err != nil {
		return err
	}
	if e.server, err = start(address, e.env, e.bin.server, append([]string{"-listen", address}, e.args...)...); err != nil {
		return err
	}
	return e.server.waitReady(ctx)
}

// coldStarts stops and starts the server some times and gives the median of
// the times to ready, in milliseconds. It leaves a server that was idle for a
// second.
func (e *engine) coldStarts(ctx context.Context, times int) (ms float64, err error) {
	var all []time.Duration
	for range times {
		if err := e.server.stop(); err != nil {
			return 0, err
		}
		began := time.Now()
		if err := e.launch(ctx); err != nil {
			return 0, err
		}
		all = append(all, time.Since(began))
	}
	time.Sleep(time.Second)
	return median(all), nil
}

func median(all []time.Duration) (ms float64) {
	slices.Sort(all)
	return float64(all[len(all)/2].Microseconds()) / 1000
}

func (e *engine) stop() (err error) {
	if e.server != nil {
		err = e.server.stop()
	}
	if e.postgres != nil {
		err = errors.Join(err, e.postgres.Stop())
	}
	return err
}

// usage is what was used up to a moment.
type usage struct {
	server, postgres time.Duration
	rows, batches    float64
}

func (e *engine) usage() (u usage, err error) {
	if u.server, err = e.server.cpu(); err != nil {
		return u, err
	}
	if e.postgres != nil {
		if u.postgres, err = familyCPU(e.postgres.PID()); err != nil {
			return u, err
		}
	}
	if e.admin == "" {
		return u, nil
	}
	u.rows, u.batches, err = auditCounters(e.admin)
	return u, err
}

// auditCounters reads how many audit rows were written in how many commits.
func auditCounters(admin string) (rows, batches float64, err error) {
	resp, err := http.Get("http://" + admin + "/metrics")
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		n, _ := strconv.ParseFloat(value, 64)
		switch name {
		case "kms_audit_rows_total":
			rows = n
		case "kms_audit_batches_total":
			batches = n
		}
	}
	return rows, batches, nil
}

// cell measures one operation.
func (e *engine) cell(ctx context.Context, op operation, clients int, p plan) (c cell, err error) {
	load, err := dial(e.server.address, op, clients)
	if err != nil {
		return c, err
	}
	defer load.close()
	var before, after usage
	profiled := make(chan error, 1)
	latencies, err := load.run(ctx, p.period, func() (err error) {
		go func() { profiled <- e.saveProfile(op, clients, p) }()
		before, err = e.usage()
		return err
	}, func() (err error) {
		after, err = e.usage()
		return err
	})
	if err != nil {
		return c, err
	}
	return newCell(e.name, op.name, clients, p.period, latencies, before, after), <-profiled
}

// saveProfile writes the CPU profile of a cell, if it is wanted.
func (e *engine) saveProfile(op operation, clients int, p plan) error {
	if p.profile == "" || e.admin == "" {
		return nil
	}
	resp, err := http.Get(fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", e.admin, max(1, int(p.period.Seconds()))))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(p.profile, fmt.Sprintf("%s-%s-%d.pprof", e.name, op.name, clients)), text, 0o644)
}
