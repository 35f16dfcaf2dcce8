// Command cluster runs a real Kubernetes of one node for tests, in namespaces
// of its own, from programs that it builds from Go modules. It needs no
// registry, and nothing of it can reach beyond this machine.
//
//	go run ./e2e/cluster build    builds what is missing, and prints the folder of the programs
//	go run ./e2e/cluster up       does that, starts the node and waits until it is ready
//	go run ./e2e/cluster load F   gives the node the images in the archives F...
//	go run ./e2e/cluster down     ends the node and removes its state
//	e2e/cluster/in COMMAND        runs a command in the node's network, with kubectl and helm
//
// Programs and images stay in the user's cache folder, by a hash of what they
// are built from. The node's state is below the folder for temporary files.
// "build" installs missing Debian packages as root; all else needs root.
package main

// SPDX-License-Identifier: Apache-2.0

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	if os.Args[0] == nodeProcess {
		runNode(os.Args[1])
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, arguments []string) error {
	if len(arguments) == 0 {
		return errors.New("usage: cluster build | up | load ARCHIVE... | down")
	}
	switch c := newCluster(); arguments[0] {
	case "build":
		return printPrograms(ctx)
	case "up":
		return c.up(ctx)
	case "load":
		return c.load(arguments[1:])
	case "down":
		return c.down()
	default:
		return fmt.Errorf("%s is no command: give build, up, load or down", arguments[0])
	}
}

func printPrograms(ctx context.Context) error {
	b, err := build(ctx)
	if err == nil {
		fmt.Println(b.programs())
	}
	return err
}

// say tells a person what goes on. The standard output is for results.
func say(format string, values ...any) {
	fmt.Fprintf(os.Stderr, "cluster: "+format+"\n", values...)
}
