package deliver

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// The names of the layout. All begin with "..", as no file of a set does.
const (
	dataLink        = "..data"
	dataLinkTmp     = "..data_tmp"
	notifiedLink    = "..notified"
	notifiedLinkTmp = "..notified_tmp"
)

// Dir is the directory of a set.
type Dir struct {
	Path      string
	Mode      fs.FileMode // of the files; directories get the right to enter that goes with it
	GID       *int        // group of files and directories; nil: the process's
	AllowDisk bool        // it need not be in memory

	// Last is the generation that this process wrote last, "" if none: where
	// the set is gone although there was one, the next is not the first.
	Last string

	// step is called after each change on disk, with what it was. Tests end
	// the process there.
	step func(what string)
}

// Check reports whether a set can be written to the directory, and makes the
// directory if it is missing.
func (d Dir) Check() error {
	root, err := d.open()
	if err != nil {
		return err
	}
	return root.Close()
}

// open opens the directory, and makes it if only itself is missing. Everything
// is then done through the Root: no link that others put in leads out of it.
func (d Dir) open() (*os.Root, error) {
	if err := os.Mkdir(d.Path, d.dirMode()); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("make the directory: %w", err)
	}
	memory, err := inMemory(d.Path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("look at the directory %s: %w", d.Path, err)
	case !memory && !d.AllowDisk:
		return nil, badConfig("the directory %s is not on a tmpfs: mount one (an emptyDir of medium Memory), or set allowDisk", d.Path)
	}
	root, err := os.OpenRoot(d.Path)
	if err != nil {
		return nil, fmt.Errorf("open the directory: %w", err)
	}
	return root, nil
}

// dirMode lets those enter a directory who may read the files.
func (d Dir) dirMode() fs.FileMode { return 0o700 | d.Mode&0o444 | d.Mode&0o444>>2 }

func (d Dir) did(what string) {
	if d.step != nil {
		d.step(what)
	}
}

// currentGeneration is where ..data leads; "" where there is no set yet.
func currentGeneration(root *os.Root) (string, error) {
	target, err := root.Readlink(dataLink)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil || number(target) == 0:
		return "", badConfig("the directory %s holds a set of another program: give the agent one of its own", root.Name())
	}
	if info, err := root.Lstat(target); err != nil || !info.IsDir() {
		return "", nil
	}
	return target, nil
}

// number is the number of a generation by its name, such as 7 of "..7"; 0 of
// any other name.
func number(name string) uint64 {
	digits, found := strings.CutPrefix(name, "..")
	n, err := strconv.ParseUint(digits, 10, 63)
	if !found || err != nil || name != generationName(n) {
		return 0
	}
	return n
}

func generationName(n uint64) string { return ".." + strconv.FormatUint(n, 10) }

// refuseForeign reports what lies where a link of the set has to be, and is
// not ours: the agent never removes what it did not write.
func refuseForeign(root *os.Root, files []File) error {
	for _, f := range files {
		if _, err := root.Lstat(f.Name); err == nil && !isOurs(root, f.Name) {
			return badConfig("%s/%s is in the way of the key of that name: remove it, or give the agent a directory of its own", root.Name(), f.Name)
		}
	}
	return nil
}

func isOurs(root *os.Root, name string) bool {
	target, err := root.Readlink(name)
	return err == nil && target == dataLink+"/"+name
}

// sweep removes what is neither the current generation nor the one before it:
// older ones, and what a writer that was killed left behind.
func (d Dir) sweep(root *os.Root, current string) error {
	names, err := names(root, ".")
	if err != nil {
		return err
	}
	before := uint64(0)
	for _, name := range names {
		if n := number(name); n < number(current) {
			before = max(before, n)
		}
	}
	for _, name := range names {
		n := number(name)
		switch {
		case name == dataLinkTmp, name == notifiedLinkTmp:
		case n == 0, name == current, n == before:
			continue
		}
		if err := root.RemoveAll(name); err != nil {
			return fmt.Errorf("remove what is left of an older generation: %w", err)
		}
		d.did("remove " + name)
	}
	return nil
}

func names(root *os.Root, dir string) ([]string, error) {
	f, err := root.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("list the directory: %w", err)
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list the directory: %w", err)
	}
	return names, nil
}

// holds reports whether a generation consists of exactly these files.
func (d Dir) holds(root *os.Root, generation string, files []File) bool {
	names, err := names(root, generation)
	if err != nil || len(names) != len(files) {
		return false
	}
	for _, f := range files {
		if !d.holdsFile(root, generation+"/"+f.Name, f.Data) {
			return false
		}
	}
	return true
}

func (d Dir) holdsFile(root *os.Root, name string, data []byte) bool {
	info, err := root.Lstat(name)
	if err != nil || info.Mode() != d.Mode || info.Size() != int64(len(data)) {
		return false
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && d.GID != nil && int(stat.Gid) != *d.GID {
		return false
	}
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	have, err := io.ReadAll(io.LimitReader(f, int64(len(data))+1))
	defer clear(have)
	return err == nil && bytes.Equal(have, data)
}
