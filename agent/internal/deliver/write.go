package deliver

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
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
	if err := d.refuseForeign(root, files); err != nil {
		return Written{}, err
	}
	if err := d.finish(root, current); err != nil {
		return Written{}, err
	}
	files, err = keepFiles(root, current, files)
	defer wipeKept(files)
	if err != nil {
		return Written{}, err
	}
	if current != "" && d.holds(root, current, files) {
		return Written{Generation: current, Files: len(files)}, d.settle(root, current, files)
	}
	next, err := d.writeGeneration(root, files)
	if err != nil {
		return Written{}, err
	}
	if err := d.swap(root, current, next); err != nil {
		return Written{}, err
	}
	return Written{Generation: next, Files: len(files), Changed: true}, d.settle(root, next, files)
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
func (d Dir) writeGeneration(root *os.Root, files []File) (string, error) {
	next, err := d.nextGeneration(root)
	if err != nil {
		return "", err
	}
	if err := d.fill(root, next, files); err != nil {
		root.RemoveAll(next) // the next sweep does it, if not now
		return "", err
	}
	return next, nil
}

// nextGeneration is a name that no reader can have seen before.
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
	if err := root.Mkdir(generation, 0o700); err != nil {
		return fmt.Errorf("make a generation: %w", err)
	}
	d.did("make " + generation)
	for _, f := range files {
		if err := d.writeFile(root, generation+"/"+f.Name, f); err != nil {
			return fmt.Errorf("write %s: %w", f.Name, err)
		}
		d.did("write " + f.Name)
	}
	if err := own(root, generation, d.enter(files), d.GID); err != nil {
		return fmt.Errorf("set the rights of a generation: %w", err)
	}
	d.did("own " + generation)
	return nil
}

func (d Dir) writeFile(root *os.Root, name string, f File) error {
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	d.did("create " + name)
	if _, err := file.Write(f.Data); err != nil {
		return err
	}
	d.did("fill " + name)
	if d.AllowDisk { // keeps a crash of the machine from leaving the swap without the bytes
		if err := file.Sync(); err != nil {
			return err
		}
	}
	mode, gid := d.rights(f)
	if err := own(root, name, mode, gid); err != nil {
		return err
	}
	return file.Close()
}

// own sets group and rights; the umask has no say.
func own(root *os.Root, name string, mode fs.FileMode, gid *int) error {
	if gid != nil {
		if err := root.Lchown(name, -1, *gid); err != nil {
			return err
		}
	}
	return root.Chmod(name, mode)
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
