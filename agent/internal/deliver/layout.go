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

// The names of the layout. All but previousLink begin with "..", as no file of
// a set does.
const (
	dataLink        = "..data"
	dataLinkTmp     = "..data_tmp"
	notifiedLink    = "..notified"
	notifiedLinkTmp = "..notified_tmp"
	toldPrefix      = "..told."
	fileTmp         = "..file_tmp"
	stateFile       = "..state"
	stateFileTmp    = "..state_tmp"
	socketFile      = "..agent.sock"
	previousLink    = "previous"
	previousLinkTmp = "..previous_tmp"
)

// Dir is the directory of a set.
type Dir struct {
	Path      string
	Mode      fs.FileMode // of files that say none
	GID       *int        // of files that say none, and of directories; nil: the process's
	Rename    bool        // DIR/KEY is a regular file, no link
	Previous  bool        // offer the generation before as DIR/previous
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
	if err := os.Mkdir(d.Path, enterable(d.Mode)); err != nil && !errors.Is(err, fs.ErrExist) {
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

// enterable is the mode of a directory that lets those enter who may read
// files of that mode.
func enterable(mode fs.FileMode) fs.FileMode { return 0o700 | mode&0o444 | mode&0o444>>2 }

// rights are the mode and the group that f has on disk.
func (d Dir) rights(f File) (fs.FileMode, *int) {
	mode, gid := d.Mode, d.GID
	if f.Mode != 0 {
		mode = f.Mode
	}
	if f.GID != nil {
		gid = f.GID
	}
	return mode, gid
}

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

// generationBefore is the newest generation before current among the names of
// the directory; "" if there is none.
func generationBefore(names []string, current string) string {
	before := uint64(0)
	for _, name := range names {
		if n := number(name); n < number(current) {
			before = max(before, n)
		}
	}
	if before == 0 {
		return ""
	}
	return generationName(before)
}

// refuseForeign reports what lies where a file of the set has to be, and is
// not ours: the agent never removes what it did not write.
func (d Dir) refuseForeign(root *os.Root, files []File) error {
	names, err := names(root, ".")
	if err != nil {
		return err
	}
	for _, f := range files {
		if _, err := root.Lstat(f.Name); err == nil && !isOurs(root, f.Name, names) {
			return badConfig("%s/%s is in the way of the file of that name: remove it, or give the agent a directory of its own", root.Name(), f.Name)
		}
	}
	if _, err := root.Lstat(previousLink); d.Previous && err == nil && !isPreviousLink(root) {
		return badConfig("%s/%s is in the way of the link to the generation before: remove it, or set previous to false", root.Name(), previousLink)
	}
	return nil
}

// isOurs reports whether DIR/name is one that the agent put there: a link into
// the set, or a file that lies in one of the generations too. all are the
// names of the directory.
func isOurs(root *os.Root, name string, all []string) bool {
	if isLink(root, name) {
		return true
	}
	info, err := root.Lstat(name)
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	for _, generation := range all {
		if number(generation) > 0 && isSameFile(root, info, generation+"/"+name) {
			return true
		}
	}
	return false
}

func isLink(root *os.Root, name string) bool {
	target, err := root.Readlink(name)
	return err == nil && target == dataLink+"/"+name
}

func isSameFile(root *os.Root, info fs.FileInfo, name string) bool {
	other, err := root.Lstat(name)
	return err == nil && os.SameFile(info, other)
}

func isPreviousLink(root *os.Root) bool {
	target, err := root.Readlink(previousLink)
	return err == nil && number(target) > 0
}

// sweep removes what is neither the current generation nor the one before it:
// older ones, and what a writer that was killed left behind.
func (d Dir) sweep(root *os.Root, current string) error {
	names, err := names(root, ".")
	if err != nil {
		return err
	}
	before := generationBefore(names, current)
	for _, name := range names {
		switch {
		case name == dataLinkTmp, name == fileTmp, name == previousLinkTmp, name == stateFileTmp:
		case number(name) == 0, name == current, name == before:
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
		if !d.holdsFile(root, generation+"/"+f.Name, f) {
			return false
		}
	}
	return true
}

func (d Dir) holdsFile(root *os.Root, name string, f File) bool {
	mode, gid := d.rights(f)
	info, err := root.Lstat(name)
	if err != nil || info.Mode() != mode || info.Size() != int64(len(f.Data)) {
		return false
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && gid != nil && int(stat.Gid) != *gid {
		return false
	}
	have, err := readFile(root, name, int64(len(f.Data)))
	defer clear(have)
	return err == nil && bytes.Equal(have, f.Data)
}

// readFile reads a file of a generation, and no more than a byte beyond size.
func readFile(root *os.Root, name string, size int64) ([]byte, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	buffer := make([]byte, size+1)
	n, err := io.ReadFull(f, buffer)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return buffer[:n], err
}

// intact reports whether all files of a generation are where applications look
// for them. It compares names, no content.
func (d Dir) intact(generation string) bool {
	root, err := d.open()
	if err != nil {
		return false
	}
	defer root.Close()
	current, err := currentGeneration(root)
	if err != nil || current == "" || current != generation {
		return false
	}
	files, err := names(root, current)
	if err != nil {
		return false
	}
	for _, name := range files {
		if !d.inPlace(root, current, name) {
			return false
		}
	}
	return true
}

// inPlace reports whether DIR/name leads to the file of this generation, in
// the way that is asked for.
func (d Dir) inPlace(root *os.Root, generation, name string) bool {
	if !d.Rename {
		return isLink(root, name)
	}
	info, err := root.Lstat(name)
	return err == nil && info.Mode().IsRegular() && isSameFile(root, info, generation+"/"+name)
}
