package deliver_test

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hanzoai/kms/agent/internal/deliver"
)

// mount makes d's directory a tmpfs of its own that holds older and old. size
// sets its bounds, in what mount(8) takes.
func mount(t *testing.T, d deliver.Dir) (mounted deliver.Dir, size func(options string)) {
	t.Helper()
	d.Path = memoryDir(t)
	if err := syscall.Mount("tmpfs", d.Path, "tmpfs", 0, "size=1m,nr_inodes=1000"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Unmount(d.Path, syscall.MNT_DETACH) })
	mustWrite(t, d, olderSet)
	mustWrite(t, d, oldSet)
	return d, func(options string) {
		t.Helper()
		if err := syscall.Mount("tmpfs", d.Path, "tmpfs", syscall.MS_REMOUNT, options); err != nil {
			t.Fatal(err)
		}
	}
}

// used is what a file system holds: bytes and inodes.
func used(t *testing.T, dir string) (bytes, inodes uint64) {
	t.Helper()
	var stat syscall.Statfs_t
	if err := syscall.Statfs(dir, &stat); err != nil {
		t.Fatal(err)
	}
	return (stat.Blocks - stat.Bfree) * uint64(stat.Bsize), stat.Files - stat.Ffree
}

func mountsNothing(t *testing.T) bool {
	if os.Getuid() != 0 {
		t.Log("mounting a small tmpfs needs root")
		return true
	}
	return false
}

func TestNoRoomAtAnyStepKeepsTheLastGoodSet(t *testing.T) {
	if mountsNothing(t) {
		return
	}
	tests := []struct {
		name  string
		least int // writes that fail, at the least
		bound func(bytes, inodes, extra uint64) string
	}{
		{"inodes", 4, func(bytes, inodes, extra uint64) string { return fmt.Sprint("nr_inodes=", inodes+extra) }},
		{"bytes", 2, func(bytes, inodes, extra uint64) string {
			return fmt.Sprint("size=", bytes+extra*uint64(os.Getpagesize()))
		}},
	}
	for _, test := range tests {
		for name, way := range ways() {
			t.Run(test.name+", "+name, func(t *testing.T) {
				for extra := uint64(0); ; extra++ {
					d, size := mount(t, way)
					bytes, inodes := used(t, d.Path)
					size(test.bound(bytes, inodes, extra))
					_, err := deliver.Write(d, newSet)
					if err == nil {
						if int(extra) < test.least {
							t.Errorf("%d writes had no room, want %d", extra, test.least)
						}
						return
					}
					if deliver.ReasonOf(err) != deliver.NoSpace {
						t.Errorf("Write: %v, want %s", err, deliver.NoSpace)
					}
					expectWhole(t, d, "old", "new")
					size("size=1m,nr_inodes=1000")
					mustWrite(t, d, newSet)
					last := mustWrite(t, d, newSet).Generation
					expectLayout(t, d, "..2=old", last+"=new")
					if t.Failed() {
						t.Fatalf("with room for %d more", extra)
					}
				}
			})
		}
	}
}

func TestAFileThatHasRoomForItsBeginningOnlyIsNotLeftThere(t *testing.T) {
	if mountsNothing(t) {
		return
	}
	d, size := mount(t, ways()["links"])
	before := layout(t, d.Path)
	size("size=64k")
	if _, err := deliver.Write(d, set("A=2", "B="+strings.Repeat("x", 128<<10))); deliver.ReasonOf(err) != deliver.NoSpace {
		t.Errorf("Write: %v, want %s", err, deliver.NoSpace)
	}
	if diff := cmp.Diff(before, layout(t, d.Path)); diff != "" {
		t.Error(diff)
	}
}

func TestAReadOnlyDirectoryKeepsTheLastGoodSet(t *testing.T) {
	if mountsNothing(t) {
		return
	}
	for name, way := range ways() {
		t.Run(name, func(t *testing.T) {
			d, _ := mount(t, way)
			before := states(t, d.Path)
			flags := uintptr(syscall.MS_REMOUNT)
			if err := syscall.Mount("tmpfs", d.Path, "tmpfs", flags|syscall.MS_RDONLY, ""); err != nil {
				t.Fatal(err)
			}
			if written := mustWrite(t, d, oldSet); written.Changed {
				t.Errorf("an unchanged set: %+v", written)
			}
			if _, err := deliver.Write(d, newSet); deliver.ReasonOf(err) != deliver.BadConfig {
				t.Errorf("Write: %v, want %s", err, deliver.BadConfig)
			}
			if diff := cmp.Diff(before, states(t, d.Path)); diff != "" {
				t.Error(diff)
			}
			if err := syscall.Mount("tmpfs", d.Path, "tmpfs", flags, ""); err != nil {
				t.Fatal(err)
			}
			mustWrite(t, d, newSet)
			expectLayout(t, d, "..2=old", "..3=new")
		})
	}
}

func TestAnApplicationIsToldOnlyWhenAllFilesAreInPlace(t *testing.T) {
	if mountsNothing(t) {
		return
	}
	swappedOnly := 0
	for extra := uint64(0); ; extra++ {
		k := &kms{}
		k.set("A=3", "B=3", "C=3")
		d, size := mount(t, deliver.Dir{Mode: 0o400})
		agent, _ := k.agent(t, d.Path)
		_, inodes := used(t, d.Path)
		size(fmt.Sprint("nr_inodes=", inodes+extra))
		changed, err := agent.Once(t.Context())
		if err == nil {
			break
		}
		if changed || deliver.ReasonOf(err) != deliver.NoSpace {
			t.Errorf("without room: changed %v, %v", changed, err)
		}
		if _, err := os.Lstat(d.Path + "/..data/C"); err == nil {
			swappedOnly++
		}
		size("nr_inodes=1000")
		for _, want := range []bool{true, false} {
			if changed, err := agent.Once(t.Context()); changed != want || err != nil {
				t.Errorf("with room: changed %v, %v, want %v", changed, err, want)
			}
		}
		if diff := cmp.Diff([]string{"A=3", "B=3", "C=3"}, visible(t, d.Path)); diff != "" {
			t.Error(diff)
		}
	}
	if swappedOnly == 0 {
		t.Error("there was room for all files at once, or for none")
	}
}
