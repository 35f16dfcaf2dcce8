// Command reload-app is a sample application beside the agent: it reads its
// secrets from files, and reads them again on SIGHUP. It is what a user's own
// program has to do, in one page.
//
//	reload-app DIR PIDFILE
//
// It prints one line for each reading: how many secrets there are, and which
// changed, by a fingerprint. It never prints a value.
package main

// SPDX-License-Identifier: Apache-2.0

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: reload-app DIR PIDFILE")
	}
	dir, pidFile := os.Args[1], os.Args[2]

	// First the handler, then the pid file: a SIGHUP that finds no handler
	// ends a process.
	reload, stop := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	if err := os.WriteFile(pidFile, []byte(strconv.Itoa(os.Getpid())), 0o644); err != nil {
		log.Fatal(err)
	}
	defer os.Remove(pidFile)

	secrets := map[string]string{}
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
func read(dir string) (map[string]string, error) {
	generation, err := filepath.EvalSymlinks(filepath.Join(dir, "..data"))
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(generation)
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for _, entry := range entries {
		value, err := os.ReadFile(filepath.Join(generation, entry.Name()))
		if err != nil {
			return nil, err
		}
		all[entry.Name()] = string(value)
	}
	return all, nil
}

func report(old, fresh map[string]string) {
	var changed []string
	for key, value := range fresh {
		if old[key] != value && len(old) > 0 {
			changed = append(changed, key+"="+fingerprint(value))
		}
	}
	fmt.Printf("read %d secrets; changed: %s\n", len(fresh), strings.Join(changed, " "))
}

func fingerprint(value string) string {
	sum := sha256.Sum256([]byte(value))
	return hex.EncodeToString(sum[:4])
}
