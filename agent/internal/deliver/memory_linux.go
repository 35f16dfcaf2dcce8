package deliver

import "syscall"

const (
	tmpfsMagic = 0x01021994
	ramfsMagic = 0x858458f6
)

// inMemory reports whether a directory lies on a file system without a disk.
func inMemory(dir string) (bool, error) {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(dir, &stat); err != nil {
		return false, err
	}
	magic := uint32(stat.Type)
	return magic == tmpfsMagic || magic == ramfsMagic, nil
}
