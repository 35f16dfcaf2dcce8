package tell_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hanzoai/kms/agent/config"
	"github.com/hanzoai/kms/agent/internal/tell"
)

func TestAProgramIsFoundByTheNameOfItsFile(t *testing.T) {
	t.Parallel()
	name := newName()
	a, other := startAs(t, name), startAs(t, name+"x")
	mustTell(t, config.Target{Process: name, Signal: "SIGHUP"})
	a.expect(t, sighup)
	a.expectSilence(t)
	other.expectSilence(t)
}

func TestAProgramIsFoundByTheNameItCallsItself(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"%s", "/usr/sbin/%s", "%s: master process /usr/sbin/other -g daemon off;", "/usr/sbin/%s: master [app]"} {
		name := newName()
		cmd := exec.Command(link(t, newName()))
		cmd.Args[0] = fmt.Sprintf(format, name)
		a := start(t, cmd)
		mustTell(t, config.Target{Process: name, Signal: "SIGHUP"})
		a.expect(t, sighup)
	}
}

func TestAllProgramsOfANameAreTold(t *testing.T) {
	t.Parallel()
	name := newName()
	apps := []*app{startAs(t, name), startAs(t, name), startAs(t, name)}
	mustTell(t, config.Target{Process: name, Signal: "SIGUSR1"})
	for _, a := range apps {
		a.expect(t, sigusr1)
		a.expectSilence(t)
	}
}

func TestTheWorkersOfAProgramAreLeftToIt(t *testing.T) {
	t.Parallel()
	name := newName()
	a := startAs(t, name)
	fmt.Fprintln(a.stdin, "fork")
	worker := a.ready(t, "worker ready")
	mustTell(t, config.Target{Process: name, Signal: "SIGHUP"})
	a.expect(t, sighup)
	// The worker would say an earlier signal first.
	if err := syscall.Kill(worker, syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	a.expect(t, "worker "+sigusr1)
	a.expectSilence(t)
}

func TestANameLongerThanTheKernelKeepsIsTakenAsAWhole(t *testing.T) {
	t.Parallel()
	cut := (newName() + "-and-more-of-it")[:15]
	for _, start := range map[string]func(*testing.T, string) *app{"program": startAs, "script": startScript} {
		exact, longer, other := start(t, cut), start(t, cut+"-server"), start(t, cut+"-worker")
		mustTell(t, config.Target{Process: cut + "-server", Signal: "SIGHUP"})
		longer.expect(t, sighup)
		mustTell(t, config.Target{Process: cut, Signal: "SIGHUP"})
		exact.expect(t, sighup)
		for _, a := range []*app{exact, longer, other} {
			a.expectSilence(t)
			a.cmd.Process.Kill()
			awaitEnd(t, a.pid)
		}
	}
}

// startScript is an application whose file names its interpreter.
func startScript(t *testing.T, name string) *app {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte("#!"+link(t, newName())+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return start(t, exec.Command(file))
}

func TestAProgramThatHidesItsArgumentsIsFoundByWhatTheKernelKeeps(t *testing.T) {
	t.Parallel()
	for _, name := range []string{newName(), newName() + "-and-more-of-it"} {
		cmd := exec.Command(link(t, name))
		cmd.Args[0] = "something else"
		a := start(t, cmd)
		mustTell(t, config.Target{Process: name, Signal: "SIGHUP"})
		a.expect(t, sighup)
	}
}

// Node renames its main thread in some versions.
func TestAnInterpreterIsFoundByItsOwnNameAndNotByItsScripts(t *testing.T) {
	t.Parallel()
	name, script := newName(), filepath.Join(t.TempDir(), newName()+".js")
	if err := os.WriteFile(script, []byte(`process.on("SIGHUP", () => console.log("hangup")); setInterval(() => {}, 1e6); console.log("ready")`), 0o600); err != nil {
		t.Fatal(err)
	}
	a := startSilent(t, exec.Command(linkTo(t, "node", name), script))
	a.expect(t, "ready")
	mustFail(t, config.Target{Process: filepath.Base(script), Signal: "SIGHUP"}, "/proc/PID/comm")
	mustTell(t, config.Target{Process: name, Signal: "SIGHUP"})
	a.expect(t, sighup)
}

func TestAProgramThatIsNotThereIsAnErrorThatHelps(t *testing.T) {
	t.Parallel()
	mustFail(t, config.Target{Process: newName(), Signal: "SIGHUP"}, "shareProcessNamespace: true")
}

func TestAProgramThatHasEndedIsNotThere(t *testing.T) {
	t.Parallel()
	name := newName()
	a := startSilent(t, exec.Command(linkTo(t, "true", name)))
	awaitEnd(t, a.pid)
	mustFail(t, config.Target{Process: name, Signal: "SIGHUP"}, "shareProcessNamespace: true")
}

func TestAProgramThatEndsBeforeTheSignalIsAsIfItHadNotBeenThere(t *testing.T) {
	t.Parallel()
	name := newName()
	ended, a := startSilent(t, exec.Command(linkTo(t, "true", name))), startAs(t, name)
	awaitEnd(t, ended.pid)
	told, err := tell.SendAll([]int{ended.pid, a.pid, 4194305}, syscall.SIGHUP, name)
	if told != 1 || err != nil {
		t.Errorf("%d programs were told, %v, want 1", told, err)
	}
	a.expect(t, sighup)
}

func TestTheAgentDoesNotTellItself(t *testing.T) {
	t.Parallel()
	name := newName()
	said := output(t, agent(t, config.Target{Process: name, Signal: "SIGTERM"}, link(t, name)))
	if !strings.Contains(said, "no program of this name") {
		t.Errorf("the agent says %q", said)
	}
}

func TestAnotherUsersProgramIsAnErrorThatHelps(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can start an agent of another user")
	}
	name := newName()
	a := startAs(t, name)
	for _, target := range []config.Target{
		{Process: name, Signal: "SIGHUP"},
		{PIDFile: "/dev/stdin", Signal: "SIGHUP"},
	} {
		stdin, err := os.Open(writeFile(t, fmt.Sprint(a.pid)))
		if err != nil {
			t.Fatal(err)
		}
		defer stdin.Close()
		cmd := agent(t, target, "/proc/self/exe")
		cmd.Stdin = stdin
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		if said := output(t, cmd); !strings.Contains(said, "runAsUser") {
			t.Errorf("the agent says %q", said)
		}
	}
	a.expectSilence(t)
}

// The pod of this test is a process namespace with an application and an
// agent in it. The node around it runs an application of the same name.
func TestOnlyTheProcessesOfThePodAreTold(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can make a process namespace")
	}
	name := newName()
	outside := startAs(t, name)
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	pod := agent(t, config.Target{Process: name, Signal: "SIGHUP"}, "unshare", "--pid", "--fork", "--mount-proc", "bash", "-c",
		`TELL_APP="inside " "$0" <&0 & read -r line <"$2"; "$1"; wait`, link(t, name), link(t, newName()), pipe)
	inside := startSilent(t, pod)
	inside.ready(t, "inside ready")
	if err := os.WriteFile(pipe, []byte("go\n"), 0); err != nil {
		t.Fatal(err)
	}
	said := []string{inside.line(t), inside.line(t)}
	slices.Sort(said)
	if diff := cmp.Diff([]string{"inside " + sighup, "told"}, said); diff != "" {
		t.Errorf("what the pod says (-want +got):\n%s", diff)
	}
	outside.expectSilence(t)
}
