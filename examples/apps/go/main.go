// Command app is an application beside the agent: it reads its secrets from
// files, and reads them again on SIGHUP.
//
//	app DIR PIDFILE
//
// It prints one line for each reading: how many secrets there are, and which
// changed, by a fingerprint. It never prints a value.
package main

// SPDX-License-Identifier: Apache-2.0

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: app DIR PIDFILE")
	}
	dir, pidFile := os.Args[1], os.Args[2]

	// First the handlers, then the pid file: a SIGHUP that finds no handler
	// ends a process. The channel keeps a signal that comes during a reading.
	reload, stop := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	if err := os.WriteFile(pidFile, []byte(strconv.Itoa(os.Getpid())), 0o644); err != nil {
		log.Fatal(err)
	}
	defer os.Remove(pidFile)

	var secrets map[string][]byte
	for {
		fresh, err := read(dir)
		if err != nil {
			log.Print("keeping what I have: ", err)
		} else {
			report(secrets, fresh)
			secrets = fresh
		}
		select {
		case <-reload:
		case <-stop:
			return
		}
	}
}

// read reads all secrets of one generation. Resolving ..data once is what
// keeps two generations from being mixed.
func read(dir string) (map[string][]byte, error) {
	generation, err := filepath.EvalSymlinks(filepath.Join(dir, "..data"))
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(generation)
	if err != nil {
		return nil, err
	}
	secrets := map[string][]byte{}
	for _, entry := range entries {
		if secrets[entry.Name()], err = os.ReadFile(filepath.Join(generation, entry.Name())); err != nil {
			return nil, err
		}
	}
	return secrets, nil
}

func report(old, fresh map[string][]byte) {
	var changed []string
	for _, key := range slices.Sorted(maps.Keys(fresh)) {
		if old != nil && !bytes.Equal(old[key], fresh[key]) {
			changed = append(changed, key+"="+fingerprint(fresh[key]))
		}
	}
	fmt.Printf("read %d secrets; changed: %s\n", len(fresh), strings.Join(changed, " "))
}

func fingerprint(value []byte) string {
	sum := sha256.Sum256(value)
	return hex.EncodeToString(sum[:4])
}
