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
	Enter     fs.FileMode // of directories, beyond what Mode and the files of a set need
	Rename    bool        // DIR/KEY is a regular file, no link
	Previous  bool        // offer the generation before as DIR/previous
	AllowDisk bool        // it need not be in memory

	// Last is the generation that this process wrote last, "" if none: where
	// the set is gone although there was one, the next is not the first.
	Last string

	// Settled is Last once all of it is in place: there is nothing of it to
	// finish.
	Settled string

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
	if err := d.make(); err != nil {
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

// make makes the directory if it is missing; one that is there belongs to
// whoever made it, and keeps its rights. A directory that gives its group on
// to what is made in it has a child that does so too.
func (d Dir) make() error {
	mode := d.enter(nil)
	err := os.Mkdir(d.Path, mode)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil && d.GID != nil {
		err = os.Lchown(d.Path, -1, *d.GID)
	}
	if err != nil {
		return err
	}
	info, err := os.Lstat(d.Path)
	if err != nil {
		return err
	}
	return os.Chmod(d.Path, mode|info.Mode()&fs.ModeSetgid) // the umask has no say
}

// enterable is the mode of a directory that lets those enter who may read
// files of that mode.
func enterable(mode fs.FileMode) fs.FileMode { return 0o700 | mode&0o444 | mode&0o444>>2 }

// enter is the mode of the directories: it lets those in who may read one of
// the files.
func (d Dir) enter(files []File) fs.FileMode {
	mode := enterable(d.Mode) | d.Enter
	for _, f := range files {
		fileMode, gid := d.rights(f)
		mode |= enterable(fileMode)
		if isOtherGroup(gid, d.GID) && fileMode&0o040 != 0 {
			mode |= 0o001 // no right to list: a directory has one group only
		}
	}
	return mode
}

func isOtherGroup(file, dir *int) bool { return file != nil && (dir == nil || *file != *dir) }

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

// didTo spares the hundreds of texts where nobody listens.
func (d Dir) didTo(what, name string) {
	if d.step != nil {
		d.step(what + " " + name)
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

// look opens the directory and gives the current generation; root is nil where
// there is none. It neither makes the directory nor asks where it lies.
func (d Dir) look() (root *os.Root, current string, err error) {
	if root, err = os.OpenRoot(d.Path); err != nil {
		return nil, "", fmt.Errorf("open the directory: %w", err)
	}
	if current, err = currentGeneration(root); err != nil || current == "" {
		root.Close()
		return nil, "", err
	}
	return root, current, nil
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
func generationBefore(all []string, current string) string {
	before := uint64(0)
	for _, name := range all {
		if n := number(name); n < number(current) {
			before = max(before, n)
		}
	}
	if before == 0 {
		return ""
	}
	return generationName(before)
}

// sweep removes what is neither the current generation nor the one before it:
// older ones, and what a writer that was killed left behind. The one before
// goes too where it is not to stay.
func (d Dir) sweep(root *os.Root, current string, beforeStays bool) error {
	all, err := names(root, ".")
	if err != nil {
		return err
	}
	before := ""
	if beforeStays {
		before = generationBefore(all, current)
	}
	for _, name := range all {
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

// namesInside are the files of a generation; none where there is no generation.
func namesInside(root *os.Root, generation string) ([]string, error) {
	if generation == "" {
		return nil, nil
	}
	return names(root, generation)
}

// holds reports whether a generation has these files as they are to be, and
// lets in who may read them.
func (d Dir) holds(root *os.Root, generation string, files []File) bool {
	if !hasRights(root, generation, fs.ModeDir|d.enter(files), d.GID) {
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
	if !hasRights(root, name, mode, gid) {
		return false
	}
	have, err := readFile(root, name, int64(len(f.Data)))
	defer clear(have)
	return err == nil && bytes.Equal(have, f.Data)
}

// hasRights reports whether name is of that kind, and has those rights.
func hasRights(root *os.Root, name string, mode fs.FileMode, gid *int) bool {
	info, err := root.Lstat(name)
	if err != nil || info.Mode() != mode {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return !ok || gid == nil || int(stat.Gid) == *gid
}

// readFile reads a file, never what a link leads to, and no more than a byte
// beyond size.
func readFile(root *os.Root, name string, size int64) ([]byte, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, badConfig("%s/%s is no regular file", root.Name(), name)
	}
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
