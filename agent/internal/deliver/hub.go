package deliver

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// hub is the line to the wrappers: processes of "kms-agent exec" in other
// containers, which follow this set without a network and a credential. Each
// asks "is there something newer than what I have?" and waits for the answer;
// asking again with what it was told of is its confirmation.
type hub struct {
	dir Dir

	mu        sync.Mutex // guards what follows
	announced uint64     // the generation that they are to have
	have      map[net.Conn]uint64
	changed   chan struct{} // closed, and made anew, when one of these changes
}

func newHub(dir Dir) *hub {
	h := &hub{dir: dir, have: map[net.Conn]uint64{}, changed: make(chan struct{})}
	if root, err := os.OpenRoot(dir.Path); err == nil {
		defer root.Close()
		notified, _ := root.Readlink(notifiedLink)
		h.announced = number(notified)
	}
	return h
}

// wake lets everybody who waits look again. The lock is held.
func (h *hub) wake() {
	close(h.changed)
	h.changed = make(chan struct{})
}

// announce tells the wrappers of the current generation and waits for none.
func (h *hub) announce() {
	root, current, _ := h.dir.look()
	if root == nil {
		return
	}
	root.Close()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.announced = max(h.announced, number(current))
	h.wake()
}

// tell waits until every wrapper has the generation. Where there is none there
// is nobody to wait for: one that starts later begins with the current one.
func (h *hub) tell(ctx context.Context, generation string, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for {
		behind, changed := h.behind(number(generation))
		if behind == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%d wrappers have not taken up %s within %v", behind, generation, timeout)
		}
	}
}

func (h *hub) behind(generation uint64) (behind int, changed <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, have := range h.have {
		if have < generation {
			behind++
		}
	}
	return behind, h.changed
}

// ServeHTTP answers a wrapper that has the generation in the query as soon as
// there is a newer one.
func (h *hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	conn, _ := r.Context().Value(connKey{}).(net.Conn)
	have := number(r.URL.Query().Get("have"))
	if conn == nil || have == 0 {
		http.Error(w, "have must be a generation, such as ..7", http.StatusBadRequest)
		return
	}
	for {
		announced, changed := h.confirm(conn, have)
		if announced > have {
			fmt.Fprintln(w, generationName(announced))
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

// confirm notes what the wrapper has.
func (h *hub) confirm(conn net.Conn, have uint64) (announced uint64, changed <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if before, known := h.have[conn]; !known || before != have {
		h.have[conn] = have
		h.wake()
	}
	return h.announced, h.changed
}

// connKey finds the connection in the context of a request.
type connKey struct{}

func withConn(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, conn)
}

// connState forgets a wrapper whose connection is gone: it ended, or will be
// back on another one.
func (h *hub) connState(conn net.Conn, state http.ConnState) {
	if state != http.StateClosed {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, known := h.have[conn]; known {
		delete(h.have, conn)
		h.wake()
	}
}
