package serve

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// checkEvery is the least time between two looks at the files.
const checkEvery = time.Second

// pair is a certificate and its key that follow their files. The files are
// looked at during handshakes, with no watcher: a mounted Secret changes by a
// symlink, on which watchers of the file itself go blind.
type pair struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex // guards what follows
	loaded  *tls.Certificate
	stamps  [2]os.FileInfo // of the files when loaded was read
	checked time.Time
	failure string // the last one logged, "" while the files are good
}

// openPair reads the pair for the first time.
func openPair(certFile, keyFile string, log *slog.Logger) (*pair, error) {
	p := &pair{certFile: certFile, keyFile: keyFile, log: log, checked: time.Now()}
	if err := p.reload(); err != nil {
		return nil, err
	}
	return p, nil
}

// current is the pair for a handshake, read again if the files have changed.
// A new pair that is broken, or a half-written one, leaves the old in use.
func (p *pair) current() *tls.Certificate {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.checked) >= checkEvery {
		p.checked = time.Now()
		p.check()
	}
	return p.loaded
}

// check logs a failure once, however many handshakes meet it, and its end.
func (p *pair) check() {
	err := p.reload()
	switch {
	case err == nil:
		p.failure = ""
	case err.Error() != p.failure:
		p.failure = err.Error()
		p.log.Error("new TLS certificate is unusable, the old one stays", "err", err)
	}
}

// reload reads the pair unless the files are those of the last time. It looks
// at them before it reads: a change in between is seen the next time.
func (p *pair) reload() error {
	stamps, err := p.stat()
	if err != nil {
		return fmt.Errorf("TLS certificate: %w", err)
	}
	if p.loaded != nil && same(p.stamps[0], stamps[0]) && same(p.stamps[1], stamps[1]) {
		return nil
	}
	loaded, err := tls.LoadX509KeyPair(p.certFile, p.keyFile)
	if err != nil {
		return fmt.Errorf("TLS certificate %s with key %s: %w", p.certFile, p.keyFile, err)
	}
	p.loaded, p.stamps = &loaded, stamps
	p.log.Info("TLS certificate loaded", "file", p.certFile, "notAfter", loaded.Leaf.NotAfter)
	return nil
}

func (p *pair) stat() (stamps [2]os.FileInfo, err error) {
	if stamps[0], err = os.Stat(p.certFile); err == nil {
		stamps[1], err = os.Stat(p.keyFile)
	}
	return stamps, err
}

// same compares identity beside time and size, because a copy may bring its
// time along and renewed certificates mostly have the size of the old ones.
func same(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}
