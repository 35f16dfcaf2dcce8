package deliver

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	watchDebounce = 100 * time.Millisecond // a swap of a volume is a burst of events
	watchPoll     = 10 * time.Second       // where the kernel has no watch left for us
	watchDoubt    = 10 * time.Minute       // a link on the way to the directory may lead elsewhere by now
)

// watchFiles tells when one of the files has changed, until ctx ends. It
// watches their directories, since a volume of Kubernetes is exchanged around
// the file. Where that is not possible (a user has 128 instances of inotify on
// a node by default), or the directory is gone, it looks every ten seconds.
func watchFiles(ctx context.Context, parts *sync.WaitGroup, log *slog.Logger, doubt time.Duration, files ...string) <-chan struct{} {
	w := &fileWatch{files: files, changed: newLevel(), log: log, doubt: doubt}
	if !slices.Contains(files, "") {
		w.seen = w.look()
		parts.Go(func() { w.run(ctx) })
	}
	return w.changed
}

type fileWatch struct {
	files   []string
	changed level
	log     *slog.Logger
	doubt   time.Duration // a watch that says nothing for so long may be on the wrong directory
	seen    string        // the files as they were last looked at
	watcher *fsnotify.Watcher
	warned  bool
}

func (w *fileWatch) run(ctx context.Context) {
	defer func() { w.stop() }()
	for {
		w.start()
		w.compare() // what happened before the watch
		if w.watcher == nil {
			if sleep(ctx, watchPoll) != nil {
				return
			}
			continue
		}
		select {
		case <-ctx.Done():
			return
		case event := <-w.watcher.Events:
			w.noteEvent(event)
		case <-w.watcher.Errors: // events were lost
		case <-time.After(w.doubt): // a look, lest the names lead elsewhere by now
		}
		if !w.quiet(ctx) {
			return
		}
	}
}

// quiet waits until no more events come, but not for longer than a second.
// false: ctx ended.
func (w *fileWatch) quiet(ctx context.Context) bool {
	limit := time.After(10 * watchDebounce)
	for {
		if w.watcher == nil { // its directory is gone, and perhaps made again in a moment
			return sleep(ctx, watchDebounce) == nil
		}
		select {
		case <-ctx.Done():
			return false
		case event := <-w.watcher.Events:
			w.noteEvent(event)
		case <-w.watcher.Errors:
		case <-time.After(watchDebounce):
			return true
		case <-limit:
			return true
		}
	}
}

// noteEvent ends a watch whose directory is gone: the next one is of the
// directory that takes its place.
func (w *fileWatch) noteEvent(event fsnotify.Event) {
	if (event.Has(fsnotify.Remove) || event.Has(fsnotify.Rename)) && slices.Contains(w.dirs(), filepath.Clean(event.Name)) {
		w.stop()
	}
}

func (w *fileWatch) dirs() []string {
	var dirs []string
	for _, file := range w.files {
		dirs = append(dirs, filepath.Dir(file))
	}
	slices.Sort(dirs)
	return slices.Compact(dirs)
}

// start watches, if it can and does not yet.
func (w *fileWatch) start() {
	if w.watcher != nil {
		return
	}
	watcher, err := fsnotify.NewWatcher()
	if err == nil {
		for _, dir := range w.dirs() {
			if err = watcher.Add(dir); err != nil {
				watcher.Close()
				break
			}
		}
	}
	if err == nil {
		w.watcher, w.warned = watcher, false
		return
	}
	if !w.warned {
		w.log.Warn("credentials cannot be watched, looking at them every ten seconds", "err", err)
		w.warned = true
	}
}

func (w *fileWatch) stop() {
	if w.watcher != nil {
		w.watcher.Close()
		w.watcher = nil
	}
}

// compare raises changed if the files are others than before.
func (w *fileWatch) compare() {
	if now := w.look(); now != w.seen {
		w.seen = now
		w.changed.raise()
	}
}

// look gives what identifies the content of the files, without reading them.
func (w *fileWatch) look() string {
	var all string
	for _, file := range w.files {
		info, err := os.Stat(file)
		if err != nil {
			all += "none;"
			continue
		}
		inode := uint64(0)
		if stat, ok := info.Sys().(*syscall.Stat_t); ok {
			inode = stat.Ino
		}
		all += fmt.Sprintf("%d %d %d;", inode, info.Size(), info.ModTime().UnixNano())
	}
	return all
}
