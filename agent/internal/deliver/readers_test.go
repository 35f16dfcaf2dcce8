package deliver_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hanzoai/kms/agent/internal/deliver"
)

// opens is how often the readers below open a file, for all ways of writing.
const opens = 1_000_000

func TestReadersBesideSwapsNeverSeeAMixNorAGapInAMillionOpens(t *testing.T) {
	for _, rename := range []bool{false, true} {
		t.Run(fmt.Sprintf("rename %v", rename), func(t *testing.T) {
			d := place(t)
			d.Rename = rename
			opened, swaps := readersBesideSwaps(t, d, opens/2)
			if opened < opens/2 || swaps < 200 {
				t.Errorf("%d opens beside %d swaps", opened, swaps)
			}
		})
	}
}

// readersBesideSwaps swaps until readers have opened a file as often as asked.
// No reader is overtaken by two swaps at once: that is what the generation
// before stays for, and what the pause between two polls gives a slow one.
func readersBesideSwaps(t *testing.T, d deliver.Dir, opens int64) (opened int64, swaps int) {
	both := func(n int) []deliver.File {
		text := strings.Repeat(fmt.Sprintf("%07d\n", n), 8)
		return set("A="+text, "B="+text)
	}
	mustWrite(t, d, both(0))
	var readers [2]atomic.Int64 // rounds of each
	var group sync.WaitGroup
	defer group.Wait()
	var stop atomic.Bool
	defer stop.Store(true)
	for i := range readers {
		group.Go(func() {
			for !stop.Load() && readRound(t, d.Path) {
				readers[i].Add(1)
			}
			stop.Store(true)
		})
	}
	for !stop.Load() {
		opened = 0
		seen := [2]int64{}
		for i := range readers {
			seen[i] = readers[i].Load()
			opened += seen[i] * opensPerRound
		}
		if opened >= opens {
			break
		}
		for i := range readers {
			for readers[i].Load() == seen[i] && !stop.Load() {
				runtime.Gosched()
			}
		}
		swaps++
		mustWrite(t, d, both(swaps))
	}
	return opened, swaps
}

const opensPerRound = 4

// readRound reads as applications do: by plain opens, and from the generation
// that ..data leads to, resolved once. false: what it found is an error.
func readRound(t *testing.T, dir string) bool {
	generation, err := syscall.Open(dir+"/..data", syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		t.Errorf("open ..data: %v", err)
		return false
	}
	defer syscall.Close(generation)
	whole := true
	read := func(dirfd int, name string) (text [65]byte) {
		fd, err := syscall.Openat(dirfd, name, syscall.O_CLOEXEC, 0)
		if err != nil {
			t.Errorf("open %s: %v", name, err)
			whole = false
			return text
		}
		defer syscall.Close(fd)
		n, err := syscall.Read(fd, text[:])
		if n != 64 || string(text[:56]) != string(text[8:64]) {
			t.Errorf("%s is torn: %q, %v", name, text[:n], err)
			whole = false
		}
		return text
	}
	read(0, dir+"/A")
	read(0, dir+"/B")
	if a, b := read(generation, "A"), read(generation, "B"); a != b {
		t.Errorf("one generation holds A=%q and B=%q", a, b)
		whole = false
	}
	return whole
}

func TestASlowReaderKeepsWhatItHasUntilTheSecondChange(t *testing.T) {
	for name, way := range ways() {
		t.Run(name, func(t *testing.T) {
			d := way
			d.Path = memoryDir(t)
			mustWrite(t, d, set("A=1", "B=1"))
			generation, err := filepath.EvalSymlinks(d.Path + "/..data")
			if err != nil {
				t.Fatal(err)
			}
			open, err := os.Open(d.Path + "/A")
			if err != nil {
				t.Fatal(err)
			}
			defer open.Close()
			mustWrite(t, d, set("A=2", "B=2"))
			mustWrite(t, d, set("A=2", "B=2")) // no change: an agent that starts again
			if _, err := deliver.Write(d, set("A=3", strings.Repeat("k", 256)+"=3")); err == nil {
				t.Error("a name of 256 bytes was written")
			}
			if diff := cmp.Diff([]string{"A=1", "B=1"}, visible(t, generation)); diff != "" {
				t.Errorf("after one change: %s", diff)
			}
			mustWrite(t, d, set("A=3", "B=3"))
			if _, err := os.Stat(generation); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("after two changes: %v", err)
			}
			if data, err := io.ReadAll(open); err != nil || string(data) != "1" {
				t.Errorf("an open file holds %q, %v", data, err)
			}
		})
	}
}
