package deliver

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// serveAddress answers probes and metrics at the address of the configuration,
// if there is one, until ctx ends.
func (a *Agent) serveAddress(ctx context.Context, parts *sync.WaitGroup) error {
	if a.config.Listen == "" {
		return nil
	}
	listener, err := net.Listen("tcp", a.config.Listen)
	if err != nil {
		return badConfig("listen on %s: %v", a.config.Listen, err)
	}
	serveUntil(ctx, parts, listener, &http.Server{Handler: a.watched()})
	return nil
}

// serveSocket does so on the socket of the directory, and answers wrappers
// there. Without the socket the files still come.
func (a *Agent) serveSocket(ctx context.Context, parts *sync.WaitGroup, wrappers *hub) {
	listener, err := a.dir.listen()
	if err != nil {
		a.log.Warn("no socket for health and wrappers", "err", err)
		return
	}
	local := a.watched()
	local.Handle("GET /changes", wrappers)
	serveUntil(ctx, parts, listener, &http.Server{Handler: local, ConnContext: withConn, ConnState: wrappers.connState})
}

// watched is what says how the agent is doing.
func (a *Agent) watched() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answerProbe(w, "") })
	mux.HandleFunc("GET /startupz", func(w http.ResponseWriter, _ *http.Request) { answerProbe(w, a.notStarted()) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { answerProbe(w, a.notReady()) })
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		a.status.writeMetrics(w)
	})
	return mux
}

func answerProbe(w http.ResponseWriter, problem string) {
	if problem != "" {
		http.Error(w, problem, http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

// serveUntil serves until ctx ends. A wrapper waits for its answer as long as
// it takes, so only the reading of requests is bounded.
func serveUntil(ctx context.Context, parts *sync.WaitGroup, listener net.Listener, server *http.Server) {
	server.ReadHeaderTimeout = 10 * time.Second
	server.MaxHeaderBytes = 8 << 10
	server.BaseContext = func(net.Listener) context.Context { return ctx }
	server.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	parts.Go(func() { server.Serve(listener) })
	parts.Go(func() {
		<-ctx.Done()
		server.Close()
	})
}

// notStarted says what is missing of a complete generation; "" when there is
// one, whoever wrote it and however old it is. A restarted agent must not take
// a healthy application out of its Service.
func (a *Agent) notStarted() string {
	if len(a.outputs) == 0 {
		return a.status.ready()
	}
	root, err := os.OpenRoot(a.dir.Path)
	if err != nil {
		return "the directory is not there yet"
	}
	current, err := currentGeneration(root)
	root.Close()
	switch {
	case err != nil:
		return err.Error()
	case current == "":
		return "the secrets are not there yet"
	case !a.dir.intact(current):
		return "not all secrets are in place"
	}
	return ""
}

// notReady says why the agent is not ready; "" when it is.
func (a *Agent) notReady() string {
	if problem := a.status.ready(); problem != "" {
		return problem
	}
	return a.notStarted()
}

// listen opens the socket of the directory. Everybody who can see it may
// connect: it tells no secret, and applications run as other users.
func (d Dir) listen() (net.Listener, error) {
	name := filepath.Join(d.Path, socketFile)
	if info, err := os.Lstat(name); err == nil && info.Mode().Type() == fs.ModeSocket {
		os.Remove(name) // of an agent before
	}
	address, done, err := socketAddress(d.Path)
	if err != nil {
		return nil, err
	}
	defer done()
	listener, err := net.Listen("unix", address)
	if err != nil {
		return nil, err
	}
	listener.(*net.UnixListener).SetUnlinkOnClose(false) // another may have its place by then
	return listener, os.Chmod(name, 0o666)
}

// socketAddress is the socket of a directory in a form that is short enough
// for an address, whatever the directory is called.
func socketAddress(dir string) (address string, done func(), err error) {
	if name := filepath.Join(dir, socketFile); len(name) < maxSocketName {
		return name, func() {}, nil
	}
	open, err := os.Open(dir)
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", open.Fd(), socketFile), func() { open.Close() }, nil
}

const maxSocketName = 100 // sun_path of unix(7) has 108 bytes
