package debian_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hanzoai/kms/internal/debian"
)

// aptGet stands in for the distribution: it writes down how it was called, and
// its package "tea" is a program of that name.
const aptGet = `#!/bin/sh
cd "${0%/*}"
[ "$SYSTEMD_OFFLINE" = 1 ] || exit 9
while [ "$1" = -q ] || [ "$1" = -o ]; do [ "$1" = -q ] || shift; shift; done
echo "$@" >>calls
case "$*" in
*" tea") printf '#!/bin/sh\n' >tea; /bin/chmod +x tea ;;
*" coffee") echo "Unable to locate package coffee"; exit 100 ;;
esac
`

const dpkgQuery = `#!/bin/sh
[ -e "${0%/*}/tea" ] && printf installed
`

// machine is one whose PATH leads to these programs alone, and how its apt-get
// was called so far.
func machine(t *testing.T, programs map[string]string) (calls func() []string) {
	t.Helper()
	dir := t.TempDir()
	for name, script := range programs {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	return func() []string {
		text, _ := os.ReadFile(filepath.Join(dir, "calls"))
		return strings.Split(strings.TrimSpace(string(text)), "\n")
	}
}

func TestAMissingProgramIsInstalledOnceForAllWhoNeedIt(t *testing.T) {
	calls := machine(t, map[string]string{"apt-get": aptGet, "dpkg-query": dpkgQuery})
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			path, err := debian.Program(t.Context(), "tea", "tea")
			switch {
			case os.Geteuid() != 0 && err == nil:
				t.Errorf("somebody who is not root got %s", path)
			case os.Geteuid() == 0 && (err != nil || filepath.Base(path) != "tea"):
				t.Errorf("the program is %q, %v", path, err)
			}
		})
	}
	group.Wait()
	want := []string{"update", "install -y --no-install-recommends tea"}
	if os.Geteuid() != 0 {
		want = []string{""}
	}
	if diff := cmp.Diff(want, calls()); diff != "" {
		t.Errorf("calls of apt-get (-want +got):\n%s", diff)
	}
}

func TestAProgramThatIsThereIsNotInstalled(t *testing.T) {
	calls := machine(t, map[string]string{"apt-get": aptGet, "dpkg-query": dpkgQuery, "tea": "#!/bin/sh\n"})
	if _, err := debian.Program(t.Context(), "tea", "tea"); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{""}, calls()); diff != "" {
		t.Errorf("calls of apt-get (-want +got):\n%s", diff)
	}
}

func TestTheErrorSaysWhatToInstall(t *testing.T) {
	tests := []struct {
		name     string
		programs map[string]string
		want     string // of root; others are told like those without apt-get
	}{
		{"no Debian", nil, "apt-get install coffee"},
		{"no such package", map[string]string{"apt-get": aptGet, "dpkg-query": dpkgQuery}, "Unable to locate package coffee"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			machine(t, test.programs)
			want := test.want
			if os.Geteuid() != 0 {
				want = tests[0].want
			}
			if _, err := debian.Program(t.Context(), "coffee", "coffee"); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("the error is %v, want %q in it", err, want)
			}
		})
	}
}
