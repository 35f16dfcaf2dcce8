package deliver_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hanzoai/kms/agent/config"
	"github.com/hanzoai/kms/agent/internal/deliver"
	"github.com/hanzoai/kms/api"
)

// volume is a mounted volume of credentials; swap puts in a new generation.
type volume struct{ dir string }

func (v volume) files() config.Credentials {
	return config.Credentials{ClientIDFile: v.dir + "/id", ClientSecretFile: v.dir + "/secret"}
}

func (v volume) swap(t *testing.T, generation, id, secret string) {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir(filepath.Join(v.dir, generation), 0o700))
	must(os.WriteFile(filepath.Join(v.dir, generation, "id"), []byte(id), 0o600))
	must(os.WriteFile(filepath.Join(v.dir, generation, "secret"), []byte(secret), 0o600))
	must(os.Symlink(generation, v.dir+"/..data_tmp"))
	must(os.Rename(v.dir+"/..data_tmp", v.dir+"/..data"))
	os.Symlink("..data/id", v.dir+"/id")
	os.Symlink("..data/secret", v.dir+"/secret")
}

func TestCredentialsAreReadAsAPairAtEachLogin(t *testing.T) {
	v := volume{t.TempDir()}
	v.swap(t, "..one", " id-1\n", "secret-1\r\n")
	read := deliver.Credentials(v.files())
	if id, secret, err := read(t.Context()); id != "id-1" || secret != "secret-1" || err != nil {
		t.Errorf("got %q, %q, %v", id, secret, err)
	}
	v.swap(t, "..two", "id-2", "secret-2")
	if id, secret, err := read(t.Context()); id != "id-2" || secret != "secret-2" || err != nil {
		t.Errorf("after the swap: got %q, %q, %v", id, secret, err)
	}
}

func TestAPairNeverMixesTwoGenerations(t *testing.T) {
	v := volume{t.TempDir()}
	v.swap(t, "..0", "0", "0")
	read := deliver.Credentials(v.files())
	stop := make(chan struct{})
	go func() {
		defer close(stop)
		for n := 1; n < 300 && !t.Failed(); n++ {
			v.swap(t, fmt.Sprint("..g", n), fmt.Sprint(n), fmt.Sprint(n))
			os.RemoveAll(filepath.Join(v.dir, fmt.Sprint("..g", n-1))) // as the kubelet does, at once
		}
	}()
	pairs := 0
	for {
		// Removed again and again before it was read, a pair is not found; it
		// is never a wrong one.
		id, secret, err := read(t.Context())
		if id != secret || err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("read %q and %q, %v", id, secret, err)
		}
		if err == nil {
			pairs++
		}
		select {
		case <-stop:
			if pairs == 0 {
				t.Error("no pair was read")
			}
			return
		default:
		}
	}
}

func TestCredentialsThatAreNoneAreAuthFailed(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"good": "canary", "empty": " \n", "huge": strings.Repeat("canary", 1000)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"empty", "huge", "missing", "."} {
		_, _, err := deliver.Credentials(config.Credentials{ClientIDFile: dir + "/good", ClientSecretFile: filepath.Join(dir, name)})(t.Context())
		if !errors.Is(err, api.ErrUnauthenticated) || deliver.ReasonOf(err) != deliver.AuthFailed || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v, want %s", name, err, deliver.AuthFailed)
		}
	}
}
