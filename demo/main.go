// Command demo does the main job of Hanzo KMS on this machine, start to end:
//
//	go run ./demo          and ends by itself; the last line is "demo: ok"
//	go run ./demo -keep    and leaves it running, with what to try next
//
// It builds the server, the agent and a sample application, starts the server
// on its embedded database, sets it up over the API with the organisations and
// the ten projects of the standard and their 112 secrets, gives one service its
// own identity, and lets the agent keep that service's secrets as files in
// memory. Then it changes one secret and shows the application picking it up, a
// program restarted with its new environment, and who did what.
package main

// SPDX-License-Identifier: Apache-2.0

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	keep := flag.Bool("keep", false, "leave everything running until Ctrl-C")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	d := &demo{screen: newScreen(os.Stdout), keep: *keep}
	err := d.run(ctx)
	if err != nil {
		d.explain()
	}
	d.close()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
	fmt.Println("demo: ok")
}

// run is the demo, step by step.
func (d *demo) run(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	for _, step := range []struct {
		title string
		do    func(context.Context) error
	}{
		{"Build kms-server, kms-agent and a sample application", d.build},
		{"Start kms-server on its embedded database", d.startServer},
		{"Set it up over the API: organisations hanzo, lux, zoo, pars", d.bootstrap},
		{"Load the ten projects of the standard", d.loadProjects},
		{"Give the service its own identity: viewer of its own project", d.createIdentity},
		{"Start kms-agent: it logs in and writes the secrets to memory", d.startAgent},
		{"Start the application: it reads the files", d.startApp},
		{"Change a secret through the API", d.changeSecret},
		{"Run a program with the secrets as its environment, and change one", d.superviseProgram},
		{"Who did what: the audit trail", d.showAudit},
	} {
		d.screen.step(step.title)
		if err := step.do(bounded); err != nil {
			return fmt.Errorf("%s: %w", step.title, err)
		}
	}
	if d.keep {
		d.showNext()
		<-ctx.Done()
	}
	return nil
}
