package deliver

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Written is the outcome of Write.
type Written struct {
	Generation string // that lies there now
	Files      int    // in it
	Changed    bool   // it is new
}

// Write makes files the set that lies in the directory: all of them or, where
// anything fails before the swap, none. Files that lie there already, byte for
// byte, are left untouched.
//
// The order keeps a reader of DIR/KEY from ever finding a torn file, or none
// where both generations have the key: everything is written aside; the swap
// of ..data is one rename; new names come after it, and names that are gone go
// after it; the generation before stays for readers that are still in it, and
// only the one before that is removed. DIR/previous moves on ahead of the swap:
// who reads both never misses the generation that is being replaced.
//
// A set of no file takes the secrets away: no generation before it stays.
//
// The very first generation counts as notified: whoever reads the directory
// later reads that one, and an application that is just starting may not be
// ready for a signal.
func Write(d Dir, files []File) (Written, error) {
	root, err := d.open()
	if err != nil {
		return Written{}, err
	}
	defer root.Close()
	current, err := currentGeneration(root)
	if err != nil {
		return Written{}, err
	}
	inside, err := namesInside(root, current)
	if err != nil {
		return Written{}, err
	}
	linked := d.linked(current, inside)
	if err := d.refuseForeign(root, files, linked); err != nil {
		return Written{}, err
	}
	if current == "" || current != d.Settled {
		if err := d.finish(root, current); err != nil {
			return Written{}, err
		}
	}
	files, err = keepFiles(root, current, files)
	defer wipeKept(files)
	if err != nil {
		return Written{}, err
	}
	if current != "" && len(inside) == len(files) && d.holds(root, current, files) {
		return Written{Generation: current, Files: len(files)}, d.settle(root, current, files, linked)
	}
	next, err := d.writeGeneration(root, current, files)
	if err != nil {
		return Written{}, err
	}
	if err := d.swap(root, current, next); err != nil {
		return Written{}, err
	}
	return Written{Generation: next, Files: len(files), Changed: true}, d.settle(root, next, files, linked)
}

// keepFiles gives the files that are to stay as they are their content of the
// current generation. Those that it has not got are left out.
func keepFiles(root *os.Root, current string, files []File) ([]File, error) {
	all := make([]File, 0, len(files))
	for _, f := range files {
		if !f.Keep {
			all = append(all, f)
			continue
		}
		info, err := root.Lstat(current + "/" + f.Name)
		if current == "" || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			f.Data, err = readFile(root, current+"/"+f.Name, info.Size())
		}
		all = append(all, f)
		if err != nil {
			return all, fmt.Errorf("keep %s: %w", f.Name, err)
		}
	}
	return all, nil
}

// wipeKept clears the plaintext that keepFiles has read.
func wipeKept(files []File) {
	for _, f := range files {
		if f.Keep {
			clear(f.Data)
		}
	}
}

// writeGeneration writes the files into a new generation, or leaves nothing of
// it.
func (d Dir) writeGeneration(root *os.Root, current string, files []File) (string, error) {
	next, err := d.makeGeneration(root, current)
	if err != nil {
		return "", err
	}
	if err := d.fill(root, next, files); err != nil {
		root.RemoveAll(next) // the next sweep does it, if not now
		return "", err
	}
	return next, nil
}

// makeGeneration makes an empty generation, of a name that no reader can have
// seen before. After one of its own that is settled it need not look for it.
func (d Dir) makeGeneration(root *os.Root, current string) (next string, err error) {
	if current != "" && current == d.Settled {
		next = generationName(number(current) + 1)
		err = root.Mkdir(next, 0o700)
	}
	if next == "" || errors.Is(err, fs.ErrExist) {
		if next, err = d.nextGeneration(root); err == nil {
			err = root.Mkdir(next, 0o700)
		}
	}
	if err != nil {
		return "", fmt.Errorf("make a generation: %w", err)
	}
	d.did("make " + next)
	return next, nil
}

func (d Dir) nextGeneration(root *os.Root) (string, error) {
	names, err := names(root, ".")
	if err != nil {
		return "", err
	}
	notified, _ := root.Readlink(notifiedLink)
	highest := max(number(notified), number(d.Last))
	for _, name := range names {
		highest = max(highest, number(name))
	}
	return generationName(highest + 1), nil
}

func (d Dir) fill(root *os.Root, generation string, files []File) error {
	inside, err := root.Open(generation)
	if err != nil {
		return fmt.Errorf("open a generation: %w", err)
	}
	defer inside.Close()
	mask := umask()
	for _, f := range files {
		if err := d.writeFile(inside, f, mask); err != nil {
			return fmt.Errorf("write %s: %w", f.Name, err)
		}
		d.didTo("write", f.Name)
	}
	if err := own(int(inside.Fd()), d.enter(files), d.GID); err != nil {
		return fmt.Errorf("set the rights of a generation: %w", err)
	}
	d.did("own " + generation)
	return nil
}

// writeFile writes one file into a generation, by the system calls that it
// takes and no more: an application waits for hundreds of them. The name is one
// element of a path.
func (d Dir) writeFile(generation *os.File, f File, mask fs.FileMode) error {
	mode, gid := d.rights(f)
	fd, err := unix.Openat(int(generation.Fd()), f.Name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, uint32(mode))
	if err != nil {
		return err
	}
	d.didTo("create", f.Name)
	err = d.fillFile(fd, f.Data)
	if err == nil && (mode&mask != 0 || gid != nil) {
		err = own(fd, mode, gid)
	}
	if closed := unix.Close(fd); err == nil {
		err = closed
	}
	return err
}

func (d Dir) fillFile(fd int, data []byte) error {
	for len(data) > 0 {
		n, err := unix.Write(fd, data)
		if err != nil && err != unix.EINTR {
			return err
		}
		data = data[max(n, 0):]
	}
	d.did("fill")
	if d.AllowDisk { // keeps a crash of the machine from leaving the swap without the bytes
		return unix.Fsync(fd)
	}
	return nil
}

// own sets group and rights; the umask has no say.
func own(fd int, mode fs.FileMode, gid *int) error {
	if gid != nil {
		if err := unix.Fchown(fd, -1, *gid); err != nil {
			return err
		}
	}
	return unix.Fchmod(fd, uint32(mode))
}

// umask is what the process takes away from the rights of new files; all of
// them where that is not known. It is only asked for, since setting it would
// change it for others.
func umask() fs.FileMode {
	status, _ := os.ReadFile("/proc/self/status")
	_, after, _ := bytes.Cut(status, []byte("\nUmask:\t"))
	line, _, _ := bytes.Cut(after, []byte("\n"))
	mask, err := strconv.ParseUint(string(line), 8, 32)
	if err != nil {
		return fs.ModePerm
	}
	return fs.FileMode(mask)
}

// swap makes next the generation that counts.
func (d Dir) swap(root *os.Root, current, next string) error {
	if current == "" && d.Last == "" {
		if err := d.replaceLink(root, notifiedLinkTmp, notifiedLink, next); err != nil {
			return err
		}
	}
	if d.Previous && current != "" {
		if err := d.replaceLink(root, previousLinkTmp, previousLink, current); err != nil {
			return err
		}
	}
	return d.replaceLink(root, dataLinkTmp, dataLink, next)
}

// replaceLink makes name a link to target, in one step.
func (d Dir) replaceLink(root *os.Root, tmp, name, target string) error {
	root.Remove(tmp) // of a writer that was killed
	if err := root.Symlink(target, tmp); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	d.did("make " + tmp)
	if err := root.Rename(tmp, name); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	d.did("swap " + name)
	return nil
}
