package deliver

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// Written is the outcome of Write.
type Written struct {
	Generation string // that lies there now
	Changed    bool   // it is new
}

// Write makes files the set that lies in the directory: all of them or, where
// anything fails before the swap, none. Files that lie there already, byte for
// byte, are left untouched.
//
// The order keeps a reader of DIR/KEY from ever finding a torn file, or none
// where both generations have the key: everything is written aside; the swap
// of ..data is one rename; links of new keys come after it, and links of keys
// that are gone go after it; the generation before stays for readers that are
// still in it, and only the one before that is removed.
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
	if err := refuseForeign(root, files); err != nil {
		return Written{}, err
	}
	if err := d.sweep(root, current); err != nil {
		return Written{}, err
	}
	if current != "" && d.holds(root, current, files) {
		return Written{Generation: current}, d.link(root, files)
	}
	next, err := d.writeGeneration(root, files)
	if err != nil {
		return Written{}, err
	}
	if err := d.swap(root, current, next); err != nil {
		return Written{}, err
	}
	written := Written{Generation: next, Changed: true}
	if err := d.link(root, files); err != nil {
		return written, err
	}
	return written, d.sweep(root, next)
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
		if err := d.writeFile(root, generation+"/"+f.Name, f.Data); err != nil {
			return fmt.Errorf("write %s: %w", f.Name, err)
		}
		d.did("write " + f.Name)
	}
	if err := d.own(root, generation, d.dirMode()); err != nil {
		return fmt.Errorf("set the rights of a generation: %w", err)
	}
	d.did("own " + generation)
	return nil
}

func (d Dir) writeFile(root *os.Root, name string, data []byte) error {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	d.did("create " + name)
	if _, err := f.Write(data); err != nil {
		return err
	}
	d.did("fill " + name)
	// On a tmpfs this does nothing; on a disk it keeps a crash from leaving
	// the swap without the bytes.
	if err := f.Sync(); err != nil {
		return err
	}
	if err := d.own(root, name, d.Mode); err != nil {
		return err
	}
	return f.Close()
}

// own sets group and rights; the umask has no say.
func (d Dir) own(root *os.Root, name string, mode fs.FileMode) error {
	if d.GID != nil {
		if err := root.Lchown(name, -1, *d.GID); err != nil {
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
	return d.replaceLink(root, dataLinkTmp, dataLink, next)
}

// replaceLink makes name a link to target, in one step.
func (d Dir) replaceLink(root *os.Root, tmp, name, target string) error {
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

// link makes the links that applications open, and removes those of keys that
// are gone.
func (d Dir) link(root *os.Root, files []File) error {
	wanted := make(map[string]bool, len(files))
	for _, f := range files {
		wanted[f.Name] = true
		if isOurs(root, f.Name) {
			continue
		}
		if err := root.Symlink(dataLink+"/"+f.Name, f.Name); err != nil {
			return fmt.Errorf("link %s: %w", f.Name, err)
		}
		d.did("link " + f.Name)
	}
	names, err := names(root, ".")
	if err != nil {
		return err
	}
	for _, name := range names {
		if wanted[name] || !isOurs(root, name) {
			continue
		}
		if err := root.Remove(name); err != nil {
			return fmt.Errorf("unlink %s: %w", name, err)
		}
		d.did("unlink " + name)
	}
	return nil
}
