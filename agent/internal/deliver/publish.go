package deliver

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
)

// publish puts the files of the current generation where applications open
// them, and takes away the names of those that are gone.
// linked are names that are known to be in place.
func (d Dir) publish(root *os.Root, current string, wanted, linked map[string]bool) error {
	all, err := names(root, ".")
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if !wanted[name] || linked[name] || d.inPlace(root, current, name) {
			continue
		}
		if err := d.place(root, current, name); err != nil {
			return fmt.Errorf("put %s in place: %w", name, err)
		}
		d.did("place " + name)
	}
	before := ""
	if len(wanted) > 0 {
		before = generationBefore(all, current)
	}
	if err := d.linkPrevious(root, before); err != nil {
		return err
	}
	for _, name := range all {
		if wanted[name] || !isOurs(root, name, all) {
			continue
		}
		if err := root.Remove(name); err != nil {
			return fmt.Errorf("remove %s: %w", name, err)
		}
		d.did("unlink " + name)
	}
	return nil
}

// place makes DIR/name the file of this generation, in one step, whatever of
// ours is there.
func (d Dir) place(root *os.Root, current, name string) error {
	root.Remove(fileTmp)
	var err error
	if d.Rename {
		err = root.Link(current+"/"+name, fileTmp)
	} else {
		err = root.Symlink(dataLink+"/"+name, fileTmp)
	}
	if err != nil {
		return err
	}
	d.did("make " + fileTmp)
	return root.Rename(fileTmp, name)
}

// linkPrevious makes DIR/previous lead to the generation before, or removes it.
func (d Dir) linkPrevious(root *os.Root, before string) error {
	switch {
	case d.Previous && before != "":
		if leads(root, previousLink, before) {
			return nil
		}
		return d.replaceLink(root, previousLinkTmp, previousLink, before)
	case isPreviousLink(root):
		if err := root.Remove(previousLink); err != nil {
			return fmt.Errorf("remove %s: %w", previousLink, err)
		}
		d.did("unlink " + previousLink)
	}
	return nil
}

// finish does what a writer that was killed, or had no room, left undone.
// Without it a file at DIR/name could come to be of a generation that is older
// than the one before and is removed, and would be nobody's then.
func (d Dir) finish(root *os.Root, current string) error {
	if err := d.sweep(root, current, true); err != nil || current == "" {
		return err
	}
	all, err := names(root, ".")
	if err != nil {
		return err
	}
	files, err := names(root, current)
	if err != nil {
		return err
	}
	ours := map[string]bool{}
	for _, name := range files {
		info, err := root.Lstat(current + "/" + name)
		ours[name] = err == nil && info.Mode().IsRegular() && !isForeign(root, name, all)
	}
	return d.publish(root, current, ours, nil)
}

// settle publishes the files of the current generation, and removes what nobody
// needs any more then. Who takes the secrets away wants none to stay.
func (d Dir) settle(root *os.Root, current string, files []File, linked map[string]bool) error {
	wanted := make(map[string]bool, len(files))
	for _, f := range files {
		wanted[f.Name] = true
	}
	if err := d.publish(root, current, wanted, linked); err != nil {
		return err
	}
	return d.sweep(root, current, len(files) > 0)
}

// linked are the files of the current generation, where this process has put
// them in place as links into the set: a swap changes them all, so nothing more
// is to be done about them. Whether they are still there is looked at before
// each poll.
func (d Dir) linked(current string, inside []string) map[string]bool {
	if d.Rename || current == "" || current != d.Settled {
		return nil
	}
	linked := make(map[string]bool, len(inside))
	for _, name := range inside {
		linked[name] = true
	}
	return linked
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

// refuseForeign reports what lies where a file of the set has to be, and is
// not ours: the agent never removes what it did not write. A file that has lost
// its generation and holds what it is to hold is no loss.
func (d Dir) refuseForeign(root *os.Root, files []File, linked map[string]bool) error {
	var all []string // the names of the directory, once somebody needs them
	for _, f := range files {
		if f.Name == previousLink && d.Previous {
			return badConfig("the key %q has the name of the link to the generation before: give it another name, or set previous to false", f.Name)
		}
		if linked[f.Name] {
			continue
		}
		if all == nil {
			var err error
			if all, err = names(root, "."); err != nil {
				return err
			}
		}
		if isForeign(root, f.Name, all) && !(d.Rename && d.holdsFile(root, f.Name, f)) {
			return badConfig("%s/%s is in the way of the file of that name: remove it, or give the agent a directory of its own", root.Name(), f.Name)
		}
	}
	if _, err := root.Lstat(previousLink); d.Previous && err == nil && !isPreviousLink(root) {
		return badConfig("%s/%s is in the way of the link to the generation before: remove it, or set previous to false", root.Name(), previousLink)
	}
	return nil
}

// isForeign reports whether something lies at DIR/name that is not the agent's.
func isForeign(root *os.Root, name string, all []string) bool {
	_, err := root.Lstat(name)
	return err == nil && !isOurs(root, name, all) && !(name == previousLink && isPreviousLink(root))
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
	return leads(root, name, dataLink+"/"+name)
}

func isSameFile(root *os.Root, info fs.FileInfo, name string) bool {
	other, err := root.Lstat(name)
	return err == nil && os.SameFile(info, other)
}

// leads reports whether name is a link to target.
func leads(root *os.Root, name, target string) bool {
	have, err := root.Readlink(name)
	return err == nil && have == target
}

func isPreviousLink(root *os.Root) bool {
	target, err := root.Readlink(previousLink)
	return err == nil && number(target) > 0
}
