package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// operation is one kind of request.
type operation struct {
	name    string
	status  int                     // of the right answer
	request func(client int) []byte // whole, ready to send
}

// load is closed-loop clients on connections of their own.
type load struct {
	clients []*client
	phase   atomic.Int32
}

// The phases of a load.
const (
	warmUp = iota
	measured
	over
)

// client sends one request again and again.
type client struct {
	conn      net.Conn
	answers   *bufio.Reader
	request   []byte
	status    []byte
	latencies []time.Duration
}

func dial(address string, op operation, clients int) (*load, error) {
	l := &load{}
	for i := range clients {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			l.close()
			return nil, err
		}
		l.clients = append(l.clients, &client{conn: conn, answers: bufio.NewReaderSize(conn, 16<<10), request: op.request(i),
			status: []byte("HTTP/1.1 " + strconv.Itoa(op.status)), latencies: make([]time.Duration, 0, 1<<14)})
	}
	return l, nil
}

func (l *load) close() {
	for _, c := range l.clients {
		c.conn.Close()
	}
}

// run lets the clients run, first to warm up and then for the period, and
// gives the latencies of the requests within the period. before and after are
// called at its ends.
func (l *load) run(ctx context.Context, period time.Duration, before, after func() error) ([]time.Duration, error) {
	var running sync.WaitGroup
	failed := make(chan error, len(l.clients))
	for _, c := range l.clients {
		running.Go(func() {
			if err := c.loop(&l.phase); err != nil {
				failed <- err
			}
		})
	}
	err := l.phases(ctx, period, before, after, failed)
	l.phase.Store(over)
	running.Wait()
	var all []time.Duration
	for _, c := range l.clients {
		all = append(all, c.latencies...)
	}
	if err == nil && len(all) == 0 {
		err = errors.New("no request was answered in the period")
	}
	return all, err
}

func (l *load) phases(ctx context.Context, period time.Duration, before, after func() error, failed <-chan error) error {
	if err := pause(ctx, min(period/4, time.Second), failed); err != nil {
		return err
	}
	if err := before(); err != nil {
		return err
	}
	l.phase.Store(measured)
	if err := pause(ctx, period, failed); err != nil {
		return err
	}
	l.phase.Store(over)
	return after()
}

func pause(ctx context.Context, d time.Duration, failed <-chan error) error {
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// loop sends requests until the load is over.
func (c *client) loop(phase *atomic.Int32) error {
	for now := time.Now(); ; {
		before := phase.Load()
		if before == over {
			return nil
		}
		if _, err := c.once(nil); err != nil {
			return err
		}
		began := now
		now = time.Now()
		if before == measured && phase.Load() == measured {
			c.latencies = append(c.latencies, now.Sub(began))
		}
	}
}

// once sends the request and reads the answer to its end, into body if that is
// not nil.
func (c *client) once(body *bytes.Buffer) (etag string, err error) {
	if _, err := c.conn.Write(c.request); err != nil {
		return "", err
	}
	line, err := c.answers.ReadSlice('\n')
	if err != nil {
		return "", err
	}
	if !bytes.HasPrefix(line, c.status) {
		return "", fmt.Errorf("the answer is %q, not %q", bytes.TrimSpace(line), c.status)
	}
	length := 0
	for {
		line, err := c.answers.ReadSlice('\n')
		if err != nil {
			return "", err
		}
		if len(line) == 2 { // \r\n
			break
		}
		if text, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(text))); err != nil {
				return "", err
			}
		} else if text, ok := bytes.CutPrefix(line, []byte("Etag: ")); ok && body != nil {
			etag = string(bytes.TrimSpace(text))
		}
	}
	if body == nil {
		_, err = c.answers.Discard(length)
		return "", err
	}
	_, err = io.CopyN(body, c.answers, int64(length))
	return etag, err
}
