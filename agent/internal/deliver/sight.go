package deliver

import (
	"io/fs"
	"os"
	"time"
)

// sighting is the set as it was last seen complete. A directory whose names
// have not changed has not changed its time, so most polls need not list it.
type sighting struct{ directory, generation fs.FileInfo }

// complete is Dir.complete.
func (s *sighting) complete(d Dir, known state) bool {
	began := time.Now()
	directory, err := os.Stat(d.Path)
	if err != nil {
		return false
	}
	generation, err := os.Lstat(d.Path + "/" + known.Generation)
	if err != nil {
		return false
	}
	if isUntouched(s.directory, directory) && isUntouched(s.generation, generation) {
		return true
	}
	*s = sighting{}
	if !d.complete(known) {
		return false
	}
	if isSettled(directory, began) && isSettled(generation, began) {
		*s = sighting{directory, generation}
	}
	return true
}

func isUntouched(before, now fs.FileInfo) bool {
	return before != nil && os.SameFile(before, now) && before.ModTime().Equal(now.ModTime())
}

// isSettled reports whether any later change gives the directory another time:
// two within one tick of the clock do not. A clock that was set back makes the
// agent list a directory more often, and nothing else.
func isSettled(directory fs.FileInfo, now time.Time) bool {
	return now.Sub(directory.ModTime()) > time.Second
}
