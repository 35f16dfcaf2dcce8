package deliver_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hanzoai/kms/agent/internal/deliver"
)

// watched watches the pair of a volume until the test ends.
func watched(t *testing.T, v volume, doubt time.Duration) (changed <-chan struct{}, log *bytes.Buffer) {
	t.Helper()
	log = &bytes.Buffer{}
	ctx, stop := context.WithCancel(t.Context())
	var parts sync.WaitGroup
	changed = deliver.WatchFiles(ctx, &parts, slog.New(slog.NewJSONHandler(log, nil)), doubt, v.dir+"/id", v.dir+"/secret")
	t.Cleanup(func() { stop(); parts.Wait() })
	return changed, log
}

func mustDo(t *testing.T, steps ...error) {
	t.Helper()
	for _, err := range steps {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// None of these is found by a look by the clock: that comes once an hour here.
func TestEveryChangeOfAWatchedFileIsTold(t *testing.T) {
	write := func(name, text string) error { return os.WriteFile(name, []byte(text), 0o600) }
	tests := []struct {
		name   string
		change func(t *testing.T, v volume)
	}{
		{"a swap of the volume", func(t *testing.T, v volume) { v.swap(t, "..two", "2", "2") }},
		{"a file in the place of a link", func(t *testing.T, v volume) { mustDo(t, os.Remove(v.dir+"/secret"), write(v.dir+"/secret", "new")) }},
		{"a file that is gone", func(t *testing.T, v volume) { mustDo(t, os.Remove(v.dir+"/id")) }},
		{"a directory in the place of the directory", func(t *testing.T, v volume) {
			mustDo(t, os.Rename(v.dir, v.dir+".old"), os.Mkdir(v.dir, 0o700))
			v.swap(t, "..two", "2", "2")
		}},
		{"a directory that is removed and made again", func(t *testing.T, v volume) {
			mustDo(t, os.RemoveAll(v.dir), os.Mkdir(v.dir, 0o700))
			v.swap(t, "..two", "2", "2")
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v := volume{t.TempDir() + "/volume"}
			mustDo(t, os.Mkdir(v.dir, 0o700))
			v.swap(t, "..one", "1", "1")
			changed, _ := watched(t, v, time.Hour)
			// The first change tells that the watch is there.
			v.swap(t, "..first", "first", "1")
			v.swap(t, "..one.again", "1", "1")
			mustDo(t, os.RemoveAll(v.dir+"/..one"))
			v.swap(t, "..one", "1", "1")
			<-changed
			test.change(t, v)
			<-changed
			v.swap(t, "..next", "next", "next") // it goes on watching
			<-changed
		})
	}
}

func TestADirectoryThatCannotBeWatchedIsLookedAtEveryTenSeconds(t *testing.T) {
	v := volume{t.TempDir() + "/volume"}
	synctest.Test(t, func(t *testing.T) {
		changed, log := watched(t, v, time.Hour)
		start := time.Now()
		time.Sleep(2*deliver.WatchPoll + time.Second)
		mustDo(t, os.Mkdir(v.dir, 0o700))
		v.swap(t, "..one", "1", "1")
		<-changed
		if took := time.Since(start); took != 3*deliver.WatchPoll {
			t.Errorf("told after %v, want %v", took, 3*deliver.WatchPoll)
		}
		if n := strings.Count(log.String(), "credentials cannot be watched"); n != 1 {
			t.Errorf("%d warnings, want 1: %s", n, log)
		}
	})
}

func TestAThousandEventsInASecondAreToldAFewTimes(t *testing.T) {
	v := volume{t.TempDir()}
	v.swap(t, "..0", "0", "0")
	changed, _ := watched(t, v, time.Hour)
	start, told := time.Now(), 0
	for n := 1; n <= 1000; n++ {
		mustDo(t, os.WriteFile(v.dir+"/other", fmt.Append(nil, n), 0o600), os.Chtimes(v.dir+"/secret", time.Time{}, start.Add(time.Duration(n))))
		select {
		case <-changed:
			told++
		default:
		}
	}
	<-changed      // of the last of them
	if told > 20 { // two would do, on a machine that is never busy
		t.Errorf("a thousand events are told %d times", told)
	}
}

func TestALinkOnTheWayToTheFilesMayLeadElsewhere(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"one", "two"} {
		mustDo(t, os.Mkdir(dir+"/"+name, 0o700), os.WriteFile(dir+"/"+name+"/id", nil, 0o600), os.WriteFile(dir+"/"+name+"/secret", nil, 0o600))
	}
	mustDo(t, os.Symlink("one", dir+"/link"))
	changed, _ := watched(t, volume{dir + "/link"}, 20*time.Millisecond)
	mustDo(t, os.WriteFile(dir+"/one/id", []byte("1"), 0o600))
	<-changed // the watch is there
	mustDo(t, os.Symlink("two", dir+"/link.new"), os.Rename(dir+"/link.new", dir+"/link"))
	<-changed
	mustDo(t, os.Remove(dir+"/two/id"))
	<-changed
}
