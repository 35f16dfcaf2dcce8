// Command bench measures the server and the agent on this machine and prints
// one table from one run.
//
//	go run ./bench                            all of it, about four minutes
//	go run ./bench -engines postgres -clients 64 -seconds 10
//	go run ./bench -json results.json         raw results beside the table
//
// # How to read it
//
// The server is the built binary, a process of its own, with its defaults:
// every read and login is served after its audit row is durable. Closed-loop
// clients (each sends its next request when it has the last answer) run in this
// process over connections kept alive; they send prepared bytes and look at no
// more than status and length of an answer. All of it, PostgreSQL included,
// shares the processors of this machine, so requests per second and latencies
// compare runs on one machine and promise nothing for another.
//
// The figure to go by is "req/cpu-s": answers per second of processor time that
// the server's process used (utime and stime in /proc). It hardly depends on
// who else is busy. What PostgreSQL spent on the same requests stands beside it
// as "pg us/op", over all of its processes.
//
// The engines are:
//
//	postgres      a throw-away cluster that flushes every commit (fsync on)
//	postgres-3ms  the same, each flush delayed by 3 ms, as on a networked disk:
//	              commit_delay=3000 with commit_siblings=0 makes whoever flushes
//	              the log wait 3 ms first, always; no other code runs
//	sqlite        the embedded database, synchronous=FULL
//	bare          a net/http handler that returns the same bytes and does
//	              nothing else: what HTTP alone costs here
//
// The operations are: login by Universal Auth; read of one secret; read of a
// folder of 100; the same with a current If-None-Match (304); and write of a
// new version, the clients spread over 16 projects. "rows/batch" is the mean
// number of audit rows of a group commit of reads and logins; a write commits
// its row in its own transaction. "aim" is the goal for req/cpu-s on PostgreSQL
// at 64 clients.
//
// "idle" is the resident memory of the server a second after it is ready,
// "loaded" the highest of the run; "ready" is the time from starting the
// process on a database that exists to its first good answer on /api/status,
// the median of five. The agent's rows are measured beside the first engine, on
// a tmpfs; times are medians of five. "At rest" is the processor time of a
// minute with one poll that finds nothing new, by the scheduler's account;
// "answer to swap" begins when a proxy in between has passed on the last byte of
// the answer that holds 200 changed keys.
package main

// SPDX-License-Identifier: Apache-2.0

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/hanzoai/kms/internal/app"
)

func main() { app.Main("bench", run) }

// plan is what was asked for.
type plan struct {
	engines []string
	clients []int
	period  time.Duration // of one cell
	only    string        // one operation; "" is all
	json    string        // file for the raw results
	profile string        // folder for CPU profiles of the cells
	dir     string        // for binaries and databases
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) == 1 && args[0] == bareCommand {
		return serveBare(ctx, os.Stdin, stdout)
	}
	p, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if p.dir, err = os.MkdirTemp("", "kms-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(p.dir)
	report, err := p.measure(ctx, stderr)
	if err != nil {
		return err
	}
	if p.json != "" {
		if err := report.save(p.json); err != nil {
			return err
		}
	}
	return report.print(stdout)
}

func parse(args []string, stderr io.Writer) (p plan, err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	engines := flags.String("engines", "postgres,postgres-3ms,sqlite,bare", "engines to measure")
	clients := flags.String("clients", "64,1", "numbers of closed-loop clients")
	seconds := flags.Float64("seconds", 3, "seconds that each cell is measured")
	flags.StringVar(&p.only, "operation", "", "measure only this one: login, read, folder, 304, write or agent")
	flags.StringVar(&p.json, "json", "", "`file` for the raw results")
	flags.StringVar(&p.profile, "profile", "", "`folder` for a CPU profile of the server in each cell; costs about 5% of the figures")
	if err := flags.Parse(args); err != nil {
		return p, err
	}
	p.engines = strings.Split(*engines, ",")
	p.period = time.Duration(*seconds * float64(time.Second))
	for _, text := range strings.Split(*clients, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 4096 {
			return p, fmt.Errorf("-clients: %q is not a number from 1 to 4096", text)
		}
		p.clients = append(p.clients, n)
	}
	if p.period <= 0 {
		return p, errors.New("-seconds must be more than 0")
	}
	return p, nil
}

// measure runs all engines, one after the other, and the agent beside the
// first of them.
func (p plan) measure(ctx context.Context, progress io.Writer) (*report, error) {
	bin, err := build(ctx, p.dir)
	if err != nil {
		return nil, err
	}
	r := &report{Machine: thisMachine(), Seconds: p.period.Seconds()}
	var recorded map[string]reply
	for _, name := range p.engines {
		fmt.Fprintln(progress, "measuring", name)
		if name == bareEngine {
			if err := p.measureBare(ctx, r, recorded); err != nil {
				return nil, fmt.Errorf("measure %s: %w", name, err)
			}
			continue
		}
		e, err := startEngine(ctx, name, bin, p)
		if err == nil {
			recorded, err = p.measureEngine(ctx, r, e)
			err = errors.Join(err, e.stop())
		}
		if err != nil {
			return nil, fmt.Errorf("measure %s: %w", name, err)
		}
	}
	return r, nil
}

func (p plan) measureEngine(ctx context.Context, r *report, e *engine) (map[string]reply, error) {
	ready, err := e.coldStarts(ctx, 5)
	if err != nil {
		return nil, err
	}
	idle := e.server.resident()
	instance, err := fill(ctx, e)
	if err != nil {
		return nil, err
	}
	for _, clients := range p.clients {
		for _, op := range instance.operations {
			if p.only != "" && p.only != op.name {
				continue
			}
			cell, err := e.cell(ctx, op, clients, p)
			if err != nil {
				return nil, fmt.Errorf("%s with %d clients: %w", op.name, clients, err)
			}
			r.Cells = append(r.Cells, cell)
		}
	}
	r.Servers = append(r.Servers, serverFigures{Engine: e.name, Version: e.version, ReadyMS: ready, IdleKiB: idle, LoadedKiB: e.server.peak()})
	if r.Agent == nil && (p.only == "" || p.only == "agent") {
		if r.Agent, err = measureAgent(ctx, e, instance, p.dir); err != nil {
			return nil, fmt.Errorf("the agent: %w", err)
		}
	}
	return instance.replies(e.server.address)
}
