package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
)

const (
	bareEngine  = "bare"
	bareCommand = "serve-bare" // the argument that makes this program the bare handler
)

// recording is what the bare handler answers: on which address, and per
// operation what.
type recording struct {
	Address string
	Replies map[string]reply
}

// serveBare answers recorded bytes until it is stopped.
func serveBare(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	var r recording
	if err := json.NewDecoder(stdin).Decode(&r); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", r.Address)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		reply, ok := r.Replies[req.Host]
		if !ok { // the wait for it to be ready
			return
		}
		header := w.Header()
		if reply.ETag != "" {
			header.Set("ETag", reply.ETag)
		}
		if reply.Status != http.StatusNotModified {
			header.Set("Content-Type", "application/json; charset=utf-8")
			header.Set("Content-Length", strconv.Itoa(len(reply.Body)))
		}
		w.WriteHeader(reply.Status)
		_, _ = w.Write(reply.Body)
	})}
	go func() {
		<-ctx.Done()
		server.Close()
	}()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// measureBare measures the bare handler with the answers recorded of an engine.
func (p plan) measureBare(ctx context.Context, r *report, recorded map[string]reply) error {
	if recorded == nil {
		return errors.New("it returns what another engine answered: give one before it")
	}
	e := &engine{name: bareEngine}
	if err := e.launchBare(ctx, recorded); err != nil {
		return err
	}
	for _, clients := range p.clients {
		for _, name := range []string{"login", "read", "folder", "304", "write"} {
			if p.only != "" && p.only != name {
				continue
			}
			method, body := "GET", []byte(nil)
			switch name {
			case "login":
				method, body = "POST", make([]byte, 120)
			case "write":
				method, body = "PATCH", make([]byte, 150)
			}
			bytes := request(name, method, "/api/v3/secrets/raw", "", body)
			cell, err := e.cell(ctx, operation{name, recorded[name].Status, func(int) []byte { return bytes }}, clients, p)
			if err != nil {
				return errors.Join(err, e.stop())
			}
			r.Cells = append(r.Cells, cell)
		}
	}
	return e.stop()
}

func (e *engine) launchBare(ctx context.Context, recorded map[string]reply) error {
	path, err := os.Executable()
	if err != nil {
		return err
	}
	address, err := freeAddress()
	if err != nil {
		return err
	}
	text, err := json.Marshal(recording{address, recorded})
	if err != nil {
		return err
	}
	e.server = &process{cmd: exec.Command(path, bareCommand), address: address}
	e.server.cmd.Stdin = bytes.NewReader(text)
	e.server.cmd.Stdout, e.server.cmd.Stderr = &e.server.log, &e.server.log
	if err := e.server.cmd.Start(); err != nil {
		return err
	}
	return e.server.waitReady(ctx)
}
