//go:build e2e

package e2e_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := searchNode(); err != nil {
		fmt.Println(err)
		code = 1
	}
	ending.Lock()
	defer ending.Unlock()
	for _, end := range ending.all {
		end()
	}
	os.Exit(code)
}

var ending struct {
	sync.Mutex
	all []func()
}

// atTheEnd does something after the last test.
func atTheEnd(do func()) {
	ending.Lock()
	defer ending.Unlock()
	ending.all = append(ending.all, do)
}

// searchNode looks for the values that tests have planted in all files on the
// node's disk: logs, images, the layers of containers, volumes that are no
// tmpfs, the server's database, etcd. What is mounted on the node is not seen
// from here, only the disk below.
func searchNode() error {
	if !isOurNode() {
		return nil
	}
	var found []string
	err := filepath.WalkDir(nodeState(), func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || isCopyOfProgram(name) {
			return nil // it may have gone meanwhile
		}
		content, err := os.ReadFile(name)
		if values := traces(string(content)); err == nil && values != nil {
			found = append(found, fmt.Sprintf("%s holds %q", name, values))
		}
		return nil
	})
	if err != nil || found != nil {
		return fmt.Errorf("FAIL: values on the node's disk: %w\n%s", err, strings.Join(found, "\n"))
	}
	return nil
}

// isCopyOfProgram leaves out what was there before the first value, and is large.
func isCopyOfProgram(name string) bool {
	return strings.HasPrefix(name, filepath.Join(nodeState(), "bin")+"/")
}
