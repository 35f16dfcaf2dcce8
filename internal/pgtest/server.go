package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// Options of a throw-away cluster. The zero value is a durable server for up
// to 200 connections.
type Options struct {
	// Settings are server settings, each "name=value" as in postgresql.conf.
	// They override the package's own, such as "max_connections=200".
	Settings []string
}

// Server is a running throw-away cluster on a port of 127.0.0.1 and in a
// directory of its own. Its methods may be called from several goroutines.
type Server struct {
	install  installation
	settings []string
	password string
	dir      *directory

	mu         sync.Mutex
	port       int
	postmaster *process
	stopped    bool
}

// startAttempts bounds how often another port is tried: between choosing a
// free port and listening on it, anybody may take it.
const startAttempts = 5

// Start makes a cluster and returns once it accepts connections. The server
// ends with Stop, or with this process.
func Start(ctx context.Context, options Options) (*Server, error) {
	install, err := findOrInstall(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := newDirectory()
	if err != nil {
		return nil, fmt.Errorf("make a directory for PostgreSQL: %w", err)
	}
	s := &Server{install: install, settings: options.Settings, password: rand.Text(), dir: dir}
	if err := s.boot(ctx); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

func (s *Server) boot(ctx context.Context) error {
	if err := s.initdb(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	for range startAttempts {
		if s.port, err = freePort(); err != nil {
			return err
		}
		if err = s.launch(ctx); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return err
}

// initdb writes the cluster's files. It does not sync them: what a crash of
// the whole machine leaves of a throw-away cluster is of no use to anybody.
func (s *Server) initdb(ctx context.Context) error {
	for _, name := range []string{"data", "socket"} {
		if err := s.install.makeDir(s.dir.path(name)); err != nil {
			return err
		}
	}
	password := s.dir.path("socket", "password")
	if err := s.install.writeFile(password, s.password+"\n"); err != nil {
		return err
	}
	defer os.Remove(password)
	cmd := exec.CommandContext(ctx, filepath.Join(s.install.bin, "initdb"),
		"--pgdata="+s.dir.path("data"), "--username=postgres", "--encoding=UTF8", "--no-locale",
		"--auth=scram-sha-256", "--pwfile="+password, "--no-sync")
	s.install.prepare(cmd, s.dir.name)
	out, err := cmd.CombinedOutput()
	if errors.Is(err, os.ErrPermission) && s.install.as != nil {
		return fmt.Errorf("initdb in %s: the user that PostgreSQL runs as, since root may not, cannot get there; set TMPDIR to a directory that everybody may enter: %w", s.dir.name, err)
	}
	if err != nil {
		return fmt.Errorf("initdb in %s: %w\n%s", s.dir.name, err, out)
	}
	return nil
}

// launch starts the postmaster and waits until it answers. s.mu is held.
func (s *Server) launch(ctx context.Context) error {
	log, err := os.OpenFile(s.dir.path("postgres.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(s.install.bin, "postgres"), s.arguments()...)
	s.install.prepare(cmd, s.dir.name)
	// Not a pipe of this process: "go test" waits for whoever holds its output.
	cmd.Stdout, cmd.Stderr = log, log
	if s.postmaster, err = startProcess(cmd); err != nil {
		return fmt.Errorf("start postgres: %w", err)
	}
	if err := s.waitReady(ctx); err != nil {
		s.postmaster.end(syscall.SIGQUIT)
		return fmt.Errorf("start postgres on port %d: %w\n%s", s.port, err, s.logTail())
	}
	return nil
}

func (s *Server) arguments() []string {
	settings := append([]string{
		"listen_addresses=127.0.0.1",
		"port=" + strconv.Itoa(s.port),
		"unix_socket_directories=" + s.dir.path("socket"),
		"max_connections=200",
		"shared_buffers=128MB",
		"fsync=on",
		"synchronous_commit=on",
	}, s.settings...)
	arguments := []string{"-D", s.dir.path("data")}
	for _, setting := range settings {
		arguments = append(arguments, "-c", setting)
	}
	return arguments
}

func (s *Server) waitReady(ctx context.Context) error {
	uri := s.uri()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		conn, err := pgx.Connect(ctx, uri)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-s.postmaster.done:
			return errors.New("it ended before it was ready")
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-poll.C:
		}
	}
}

// URI is the server's own database, named "postgres" and empty at first, for
// the superuser. It holds the password. It stays the same over a Restart.
func (s *Server) URI() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.uri()
}

func (s *Server) uri() string {
	return (&url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword("postgres", s.password),
		Host:     net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)),
		Path:     "/postgres",
		RawQuery: "sslmode=disable",
	}).String()
}

// PID is the process id of the postmaster; every other process of the server
// is its child.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.postmaster.cmd.Process.Pid
}

// Crash ends the server as a power cut of its process would: every backend at
// once, nothing flushed, no checkpoint, so that a Restart recovers from the
// log. (A SIGKILL of the postmaster would be the gentler death: its backends
// go on until they notice.) It returns once all of it is gone.
func (s *Server) Crash() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.postmaster.end(syscall.SIGQUIT)
}

// Restart starts the crashed server again, on the same files and port, and
// returns once it accepts connections. A server that still runs is crashed
// first.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return errors.New("restart PostgreSQL: the server was stopped and its files are gone; start a new one")
	}
	s.postmaster.end(syscall.SIGQUIT)
	return s.launch(ctx)
}

// Stop ends the server and removes its files. A second Stop does nothing.
func (s *Server) Stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return nil
	}
	s.stopped = true
	if s.postmaster != nil {
		s.postmaster.end(syscall.SIGQUIT)
	}
	return s.dir.remove()
}

// freePort is a port of 127.0.0.1 that nobody listens on, below the range that
// outgoing connections draw from: while the server is down, a client that
// retries could otherwise be given the server's own port and talk to itself.
func freePort() (int, error) {
	const low, high = 15000, 32000
	for range 100 {
		n, err := rand.Int(rand.Reader, big.NewInt(high-low))
		if err != nil {
			return 0, err
		}
		port := low + int(n.Int64())
		listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, listener.Close()
		}
	}
	return 0, fmt.Errorf("find a free port: 100 ports between %d and %d are taken", low, high)
}

// logTail is the end of the server's log, for the error that says it is down.
func (s *Server) logTail() string {
	file, err := os.Open(s.dir.path("postgres.log"))
	if err != nil {
		return err.Error()
	}
	defer file.Close()
	const tail = 4096
	if info, err := file.Stat(); err == nil && info.Size() > tail {
		_, _ = file.Seek(-tail, io.SeekEnd)
	}
	text, _ := io.ReadAll(file)
	return string(text)
}
