package main_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// uidOfAStranger is a user that nobody else is on this machine.
const uidOfAStranger = 487_321

// as makes the agent of the pod run as the stranger, who owns what it finds.
func (p pod) as(t *testing.T, uid int) pod {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	auth := filepath.Dir(p.pidFile)
	steps := []error{os.Chmod(filepath.Dir(binary), 0o755), os.Chmod(filepath.Dir(auth), 0o755),
		os.Chown(filepath.Dir(p.dir), uid, uid), os.Chown(auth, uid, uid), os.Chown(auth+"/id", uid, uid), os.Chown(auth+"/secret", uid, uid)}
	for _, err := range steps {
		if err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func TestCredentialsThatBecomeUnreadableEndNoSession(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	p := newPod(t, s.URL, "st.good").as(t, uidOfAStranger+1)
	cmd := command(p, "run")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uidOfAStranger + 1, Gid: uidOfAStranger + 1}}
	a := start(t, cmd)
	awaitContent(t, p.dir+"/A", "canary-1")
	secret := filepath.Join(filepath.Dir(p.pidFile), "secret")
	if err := errors.Join(os.Remove(secret), os.WriteFile(secret, []byte("st.good"), 0)); err != nil {
		t.Fatal(err)
	}
	a.says("new credentials are not accepted", "AuthFailed", "permission denied")
	s.version.Store(2)
	awaitContent(t, p.dir+"/A", "canary-2")
	if err := errors.Join(os.Remove(secret), os.WriteFile(secret, []byte("st.good"), 0o644)); err != nil {
		t.Fatal(err)
	}
	a.says("logged in with new credentials")
	a.terminate()
	a.expectCleanLog("canary", "st.good")
}

// Others of the same user have taken all that the kernel gives a user.
func TestWithoutAnInotifyInstanceTheCredentialsAreLookedAtAllTheSame(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	p := newPod(t, s.URL, "st.good").as(t, uidOfAStranger)
	takeInotifyInstances(t, uidOfAStranger)
	cmd := command(p, "run")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uidOfAStranger, Gid: uidOfAStranger}}
	a := start(t, cmd)
	awaitContent(t, p.dir+"/A", "canary-1")
	a.says("credentials cannot be watched", "too many open files")
	secret := filepath.Join(filepath.Dir(p.pidFile), "secret")
	if err := os.WriteFile(secret, []byte(" st.good "), 0o600); err != nil {
		t.Fatal(err)
	}
	a.says("logged in with new credentials")
	if n := strings.Count(a.log.String(), "cannot be watched"); n != 1 || s.logins.Load() != 2 {
		t.Errorf("%d warnings and %d logins, want 1 and 2", n, s.logins.Load())
	}
	a.terminate()
}

// takeInotifyInstances takes them all, as the user, until the test ends.
func takeInotifyInstances(t *testing.T, uid int) {
	t.Helper()
	taken := make(chan []int)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with its user
		var all []int
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, ^uintptr(0), uintptr(uid), ^uintptr(0)); errno == 0 {
			for len(all) < 4096 {
				fd, err := syscall.InotifyInit1(syscall.IN_CLOEXEC)
				if err != nil {
					break
				}
				all = append(all, fd)
			}
		}
		taken <- all
	}()
	all := <-taken
	t.Cleanup(func() {
		for _, fd := range all {
			syscall.Close(fd)
		}
	})
	if len(all) == 0 || len(all) == 4096 {
		t.Skipf("%d inotify instances of user %d could be taken", len(all), uid)
	}
}
