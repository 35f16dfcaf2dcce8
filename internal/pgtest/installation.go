package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/hanzoai/kms/internal/debian"
)

// installation is the PostgreSQL of this machine.
type installation struct {
	bin string              // the folder of initdb and postgres
	as  *syscall.Credential // whom to run as; nil is this process's user
}

var errNotInstalled = errors.New("PostgreSQL's server programs (initdb, postgres) are neither on PATH nor in /usr/lib/postgresql; " +
	"install them (Debian and Ubuntu: apt-get install postgresql; Fedora: dnf install postgresql-server; macOS: brew install postgresql), " +
	"or set KMS_TEST_POSTGRES to the URI of a server that tests may create databases on")

// findOrInstall finds PostgreSQL. Where there is none, and this is root on a
// Debian system, it installs the distribution's: the tests of a fresh machine
// run, they never skip.
func findOrInstall(ctx context.Context) (installation, error) {
	bin, err := find()
	if errors.Is(err, errNotInstalled) {
		if failure := debian.Install(ctx, "postgresql"); failure != nil {
			return installation{}, fmt.Errorf("%w: %w", err, failure)
		}
		bin, err = find()
	}
	if err != nil {
		return installation{}, err
	}
	as, err := unprivileged()
	return installation{bin: bin, as: as}, err
}

// find is the folder of the server programs: those on PATH, else the newest
// of Debian's versioned folders.
func find() (string, error) {
	if initdb, err := exec.LookPath("initdb"); err == nil {
		if initdb, err = filepath.EvalSymlinks(initdb); err == nil && complete(filepath.Dir(initdb)) {
			return filepath.Dir(initdb), nil
		}
	}
	folders, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	newest, newestVersion := "", -1
	for _, folder := range folders {
		version, err := strconv.Atoi(filepath.Base(filepath.Dir(folder)))
		if err == nil && version > newestVersion && complete(folder) {
			newest, newestVersion = folder, version
		}
	}
	if newest == "" {
		return "", errNotInstalled
	}
	return newest, nil
}

func complete(folder string) bool {
	for _, program := range []string{"initdb", "postgres"} {
		if _, err := exec.LookPath(filepath.Join(folder, program)); err != nil {
			return false
		}
	}
	return true
}

// unprivileged is whom root runs the server as, which PostgreSQL refuses to
// be; nil if this process is not root.
func unprivileged() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		account, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(account.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(account.Gid, 10, 32)
		if uidErr == nil && gidErr == nil {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is no user postgres or nobody to run it as; add one, or run the tests as another user")
}

// prepare has cmd run as the server's user in dir, deaf to whatever PG*
// variables this process has.
func (i installation) prepare(cmd *exec.Cmd, dir string) {
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + i.bin + ":/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: i.as}
}

func (i installation) makeDir(name string) error {
	if err := os.Mkdir(name, 0o700); err != nil {
		return err
	}
	return i.own(name)
}

func (i installation) writeFile(name, content string) error {
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		return err
	}
	return i.own(name)
}

func (i installation) own(name string) error {
	if i.as == nil {
		return nil
	}
	return os.Chown(name, int(i.as.Uid), int(i.as.Gid))
}
