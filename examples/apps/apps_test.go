package apps_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// application is one of the examples that take DIR and PIDFILE.
type application struct {
	name    string
	config  string                             // of its agent
	command func(t *testing.T) []string        // without its arguments
	beside  func(set map[string]string) string // what it wants as secrets.sh, nil: nothing
}

var applications = []application{
	{"go", "agent.json", func(t *testing.T) []string {
		binary, err := goApp()
		if err != nil {
			t.Fatal(err)
		}
		return []string{binary}
	}, nil},
	{"node", "agent.json", func(t *testing.T) []string { return []string{installed(t, "node", "nodejs"), "node/app.mjs"} }, nil},
	{"python", "agent.json", func(t *testing.T) []string { return []string{installed(t, "python3", "python3"), "python/app.py"} }, nil},
	{"shell", "shell/agent.json", func(t *testing.T) []string { return []string{"/bin/sh", "shell/app.sh"} }, exports},
}

// onAll runs a test on each application.
func onAll(t *testing.T, test func(t *testing.T, a application)) {
	t.Parallel()
	for _, a := range applications {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			test(t, a)
		})
	}
}

// exports are simple values in the format "shell".
func exports(set map[string]string) (text string) {
	for key, value := range set {
		text += fmt.Sprintf("export %s='%s'\n", key, value)
	}
	return text
}

// running is an application that runs.
type running struct {
	*process
	pidFile string
}

func (a application) start(t *testing.T, dir, pidFile string) *running {
	t.Helper()
	command := append(a.command(t), dir, pidFile)
	return &running{start(t, nil, command[0], command[1:]...), pidFile}
}

// hangUp signals the application as the agent does.
func (r *running) hangUp() {
	r.t.Helper()
	text, err := os.ReadFile(r.pidFile)
	if err != nil {
		r.t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid != r.Process.Pid {
		r.t.Fatalf("the pid file holds %q, want %d", text, r.Process.Pid)
	}
	if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
		r.t.Fatal(err)
	}
}

func (r *running) terminate() {
	r.t.Helper()
	r.process.terminate()
	if _, err := os.Stat(r.pidFile); !errors.Is(err, fs.ErrNotExist) {
		r.t.Errorf("its pid file is left: %v", err)
	}
}

// directory is one in the agent's layout.
type directory struct {
	t      *testing.T
	path   string
	number int // of the current generation
	beside func(set map[string]string) string
}

func newDirectory(t *testing.T, a application) *directory {
	return &directory{t: t, path: t.TempDir(), beside: a.beside}
}

func (d *directory) join(elements ...string) string {
	return filepath.Join(append([]string{d.path}, elements...)...)
}

func (d *directory) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

// swap puts a generation in the place of the one before, which stays, and
// removes those before it.
func (d *directory) swap(set map[string]string) {
	d.t.Helper()
	d.number++
	d.write(d.number, set)
	d.must(d.point(d.number))
	d.must(os.RemoveAll(d.join(fmt.Sprint("..", d.number-2))))
}

func (d *directory) write(number int, set map[string]string) {
	d.t.Helper()
	generation := d.join(fmt.Sprint("..", number))
	d.must(os.Mkdir(generation, 0o700))
	for key, value := range set {
		d.must(os.WriteFile(filepath.Join(generation, key), []byte(value), 0o400))
		if err := os.Symlink("..data/"+key, d.join(key)); !errors.Is(err, fs.ErrExist) {
			d.must(err)
		}
	}
	if d.beside != nil {
		d.must(os.WriteFile(filepath.Join(generation, "secrets.sh"), []byte(d.beside(set)), 0o400))
	}
}

// point makes a generation the current one.
func (d *directory) point(number int) error {
	if err := os.Symlink(fmt.Sprint("..", number), d.join("..data_tmp")); err != nil {
		return err
	}
	return os.Rename(d.join("..data_tmp"), d.join("..data"))
}

func TestAnApplicationReadsAgainOnSIGHUPAndKeepsWhatItHasWhenThatFails(t *testing.T) {
	onAll(t, func(t *testing.T, a application) {
		dir := newDirectory(t, a)
		dir.swap(map[string]string{"A": "canary 1", "B": "canary 2"})
		app := a.start(t, dir.path, filepath.Join(t.TempDir(), "app.pid"))
		app.await("read 2 secrets; changed: \n")

		dir.swap(map[string]string{"A": "canary 3", "B": "canary 2"})
		app.hangUp()
		app.await("read 2 secrets; changed: A=" + fingerprint("canary 3") + "\n")

		dir.must(os.Remove(dir.join("..data")))
		app.hangUp()
		app.await("keeping what I have")

		// It still has A, so only the others are new to it.
		dir.swap(map[string]string{"A": "canary 3", "B": "canary 4", "C": "canary 5"})
		app.hangUp()
		app.await("read 3 secrets; changed: B=" + fingerprint("canary 4") + " C=" + fingerprint("canary 5") + "\n")

		app.terminate()
		app.expectNoTraceOf("canary 1", "canary 2", "canary 3", "canary 4", "canary 5")
	})
}

func TestAnApplicationThatIsThereBeforeItsSecretsReadsThemOnceTheyAre(t *testing.T) {
	onAll(t, func(t *testing.T, a application) {
		dir := newDirectory(t, a)
		app := a.start(t, dir.path, filepath.Join(t.TempDir(), "app.pid"))
		app.await("keeping what I have")
		dir.swap(map[string]string{"A": "canary 1"})
		app.hangUp()
		app.await("read 1 secrets; changed: \n")
		app.terminate()
	})
}

// Each round has two changes. The second comes a little later each time: before
// the reading, in the midst of it, and at its end, where it is easily lost.
func TestNoChangeIsLost(t *testing.T) {
	const rounds = 15
	onAll(t, func(t *testing.T, a application) {
		dir := newDirectory(t, a)
		app := a.start(t, dir.path, filepath.Join(t.TempDir(), "app.pid"))
		app.await("keeping what I have")
		change := func(value string) (line string) {
			dir.swap(map[string]string{"A": value})
			app.hangUp()
			return "A=" + fingerprint(value) + "\n"
		}
		change("first")
		app.await("changed: \n")
		began := time.Now()
		app.await(change("second"))
		reading := time.Since(began)
		for round := range rounds {
			change(fmt.Sprint("round ", round))
			time.Sleep(reading * time.Duration(round) * 3 / (2 * rounds))
			app.await(change(fmt.Sprint("round ", round, " again")))
		}
		app.terminate()
	})
}

// The current generation changes all the time, between two in which every
// value is another.
func TestNoTwoGenerationsAreMixed(t *testing.T) {
	const keys = 20
	onAll(t, func(t *testing.T, a application) {
		dir := newDirectory(t, a)
		for number := range 2 {
			set := map[string]string{}
			for key := range keys {
				set[fmt.Sprint("KEY_", key)] = fmt.Sprint(number)
			}
			dir.write(number, set)
		}
		dir.must(dir.point(0))
		app := a.start(t, dir.path, filepath.Join(t.TempDir(), "app.pid"))
		app.await("changed: \n")
		done, ended := make(chan struct{}), make(chan error)
		go func() { ended <- dir.flip(done) }()
		for range 5 {
			app.hangUp()
			line := app.await("\n")
			if n := strings.Count(line, "KEY_"); n != 0 && n != keys {
				t.Errorf("%d of %d values changed: %s", n, keys, line)
			}
		}
		close(done)
		dir.must(<-ended)
		app.terminate()
	})
}

func (d *directory) flip(done <-chan struct{}) error {
	for number := 0; ; number++ {
		select {
		case <-done:
			return nil
		default:
			if err := d.point(number % 2); err != nil {
				return err
			}
		}
	}
}
