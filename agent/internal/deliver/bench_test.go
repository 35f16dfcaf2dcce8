package deliver_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/hanzoai/kms/agent/internal/deliver"
)

// BenchmarkWriteOf200ChangedKeys is what an application waits for between the
// answer and its new files, beside decoding.
func BenchmarkWriteOf200ChangedKeys(b *testing.B) {
	dir, err := os.MkdirTemp("/dev/shm", "kms-agent-test-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	d := deliver.Dir{Path: dir, Mode: 0o400}
	for n := 0; b.Loop(); n++ {
		files := make([]deliver.File, 200)
		for i := range files {
			files[i] = deliver.File{Name: fmt.Sprintf("KEY_%03d", i), Data: fmt.Appendf(nil, "value %d of %d", n, i)}
		}
		written, err := deliver.Write(d, files)
		if err != nil {
			b.Fatal(err)
		}
		d.Last, d.Settled = written.Generation, written.Generation
	}
}
