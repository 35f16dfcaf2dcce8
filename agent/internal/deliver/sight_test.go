package deliver_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// However long all was well, and however soon after a poll it is over.
func TestWhatIsMissingIsPutBackAtTheNextPoll(t *testing.T) {
	for _, age := range []time.Duration{0, time.Hour} {
		for _, missing := range []string{"A", "..1/A", "..data", "..1"} {
			t.Run(fmt.Sprint(missing, " of a set of ", age), func(t *testing.T) {
				k, dir := &kms{}, memoryDir(t)
				k.set("A=1", "B=2")
				agent, _ := k.agent(t, dir)
				poll := func() {
					t.Helper()
					if _, err := agent.Once(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				poll()
				then := time.Now().Add(-age)
				mustDo(t, os.Chtimes(dir, then, then), os.Chtimes(dir+"/..1", then, then))
				poll()
				poll()
				mustDo(t, os.RemoveAll(filepath.Join(dir, missing)))
				poll()
				if diff := cmp.Diff([]string{"A=1", "B=2"}, visible(t, dir)); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}
