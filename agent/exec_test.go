package main_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hanzoai/kms/sdk"
)

func TestAChangeRestartsTheCommandWithItsNewVariables(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		how    object
		script string
		says   string // of the old one
		end    int    // after SIGTERM
	}{
		{"it ends in its own way", object{}, ending("TERM"), "bye first", 7},
		{"it ends on another signal", object{"stopSignal": "SIGUSR2"}, ending("USR2"), "bye first", 143},
		{"it does not end, and is killed", object{"grace": "100ms"}, `trap "" TERM; echo up $A; read x`, "did not end in time", 137},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.put("A", "first")
			a := s.forExec(t, test.how).supervise(t, test.script)
			a.says("up first")
			s.polls(2)
			if text := a.log.String(); strings.Count(text, "up ") != 1 || strings.Contains(text, "stopping the command") {
				t.Error("the command was restarted without a change")
			}
			s.put("A", "second")
			a.says("up second")
			text := a.log.String()
			if old := strings.Index(text, test.says); old < 0 || old > strings.Index(text, "up second") {
				t.Errorf("the command did not say %q before the next one was started", test.says)
			}
			if test.end == 137 { // nothing but a kill ends this one
				a.Process.Signal(syscall.SIGTERM)
				s.polls(1)
				pid := childOf(t, a.Process.Pid)
				syscall.Kill(pid, syscall.SIGKILL)
				a.ends(137)
				return
			}
			a.endsOn(syscall.SIGTERM, test.end)
		})
	}
}

func TestAChangeDoesToTheCommandWhatOnChangeSays(t *testing.T) {
	t.Parallel()
	const script = `trap 'echo told $A, file $(cat "$0"/A)' HUP; trap 'echo asked $A, file $(cat "$0"/A)' USR1; echo up $A; while read x; do :; done`
	for _, test := range []struct {
		onChange string
		says     string // by itself
	}{{"signal", "told first, file second"}, {"none", ""}} {
		t.Run(test.onChange, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.put("A", "first")
			p := s.forExec(t, object{"onChange": test.onChange}).with(t, object{"outputs": []object{{}}})
			a := p.supervise(t, script, p.dir)
			a.says("up first")
			expectFile(t, p.dir+"/A", "first")
			s.put("A", "second")
			awaitContent(t, p.dir+"/A", "second")
			if test.says != "" {
				a.says(test.says)
			}
			s.polls(1)
			a.Process.Signal(syscall.SIGUSR1)
			a.says("asked first, file second")
			if text := a.log.String(); strings.Contains(text, "stopping the command") || strings.Count(text, "told ") != strings.Count(test.says, "told ") {
				t.Error("something else was done")
			}
			a.endsOn(syscall.SIGTERM, 143)
		})
	}
}

// TestTheCommandGetsTheSecretsAndNothingOfTheAgent has the agent and its
// command run as a user that is not root, as they do in a container.
func TestTheCommandGetsTheSecretsAndNothingOfTheAgent(t *testing.T) {
	t.Parallel()
	const files = "ls -l /proc/self/fd; echo core $(ulimit -c)"
	without, err := exec.Command("sh", "-c", files).Output()
	if err != nil {
		t.Fatal(err)
	}
	const script = files + `; env -0 | tr '\0' '\n'; cat /proc/$PPID/environ; ls /proc/$PPID/fd
		[ -r /proc/$$/environ ] && cat /proc/$$/maps >/dev/null && echo dumpable; exit 3`
	for _, where := range []string{"files", "environment"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.put("A", "its own", "PATH", "/usr/bin:/bin", "KMS_CLIENT_ID", "of the application", "EMPTY", "", "LINES", "one\ntwo")
			p := s.forStranger(t, where == "files").forExec(t, object{})
			if where == "environment" {
				p = p.with(t, object{"credentials": nil})
			}
			cmd := p.asStranger(exec.Command("sh", "-c", `ulimit -c 8; exec "$0" exec -- /bin/sh -c "$1"`, p.binary(), script))
			cmd.Env = []string{"KMS_AGENT_CONFIG=" + p.config}
			cmd.Env = append(cmd.Env, "KMS_CLIENT_ID="+s.who.ClientID, "KMS_CLIENT_SECRET="+s.who.ClientSecret,
				"KMS_TIMEOUT=30s", "KMS_LOG_LEVEL=debug", "PATH=/nowhere", "HOME=/home/app", "A=of the image")
			a := start(t, cmd)
			a.ends(3)
			text := a.log.String()
			for _, want := range []string{"A=its own\n", "PATH=/usr/bin:/bin\n", "KMS_CLIENT_ID=of the application\n", "EMPTY=\n", "LINES=one\ntwo\n", "HOME=/home/app\n", "dumpable\n"} {
				if strings.Count("\n"+text, "\n"+want) != 1 {
					t.Errorf("the command has not got %q once", want)
				}
			}
			for _, secret := range []string{s.who.ClientID, s.who.ClientSecret, "KMS_AGENT_CONFIG", "KMS_CLIENT_SECRET", "KMS_TIMEOUT", "KMS_LOG_LEVEL", "of the image", "/nowhere", "socket:", "pidfd", "eventpoll"} {
				if strings.Contains(text, secret) {
					t.Errorf("%q is with the command", secret)
				}
			}
			if n := strings.Count(text, "ermission denied"); n != 2 {
				t.Errorf("%d times the command was refused what is the agent's, want 2", n)
			}
			if got, want := strings.Count(text, " -> "), strings.Count(string(without), " -> "); got != want {
				t.Errorf("the command has %d open files, want the %d that it has without the agent", got, want)
			}
			if !strings.Contains(text, "core 8\n") {
				t.Error("the command has not got the core limit of before")
			}
		})
	}
}

func TestExecEndsAsItsCommandOrWithTheCodeOfItsReason(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.put("A", "canary", "FOUR", "4")
	s.Put(s.project, "dev", "/", "not-a.variable", "canary")
	s.Put(s.project, "staging", "/", "HUGE", strings.Repeat("canary", 128<<10/6))
	from := func(environment string) object {
		return object{"sources": []object{{"project": "app", "environment": environment}}}
	}
	shell := func(script string) []string { return []string{"--", "sh", "-c", script} }
	tests := []struct {
		name    string
		changes object
		args    []string
		want    int
		says    string // "" where there is nothing to say
	}{
		{"the command ends well", nil, shell("exit 0"), 0, ""},
		{"the command fails", nil, shell("exit 1"), 1, ""},
		{"by a variable", nil, shell("exit $FOUR"), 4, ""},
		{"the greatest code", nil, shell("exit 255"), 255, ""},
		{"by a signal", nil, shell("kill -9 $$"), 137, ""},
		{"by a signal that asks", nil, shell("kill -TERM $$"), 143, ""},
		{"no such program", nil, []string{"--", "no-such-program"}, 127, "run no-such-program: "},
		{"no such file", nil, []string{"/no/such/file"}, 127, "run /no/such/file: "},
		{"no program", nil, []string{"--", "/etc/passwd"}, 126, "run /etc/passwd: "},
		{"no command", nil, nil, 2, "BadConfig: say which command to run"},
		{"a flag that is none", nil, []string{"-bogus", "true"}, 2, "-bogus"},
		{"a key that is no variable", from("dev"), shell("exit 0"), 2, `"not-a.variable"`},
		{"a value that is too long", from("staging"), shell("exit 0"), 2, `the variable "HUGE" has`},
		{"a key that is missing", object{"exec": object{"keys": []string{"A", "B"}}}, shell("exit 0"), 6, `NotFound: make the environment: there is no secret "B"`},
		{"targets to notify", object{"notify": []object{{"pidFile": "/run/pid"}}}, shell("exit 0"), 2, "notify is for kms-agent run"},
		{"no credentials", object{"credentials": nil}, shell("exit 0"), 2, "KMS_CLIENT_ID and KMS_CLIENT_SECRET"},
		{"no configuration that is right", object{"output": 1}, shell("exit 0"), 2, `did you mean "outputs"?`},
		{"an address that is taken", object{"listen": strings.TrimPrefix(s.URL, "http://")}, shell("exit 0"), 2, "address already in use"},
		{"an unknown environment", from("qa"), shell("exit 0"), 6, "NotFound"},
		{"a server that is away", object{"server": "http://127.0.0.1:1"}, append([]string{"-timeout", "500ms"}, shell("exit 0")...), 4, "Unreachable"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			last := filepath.Join(t.TempDir(), "termination-log")
			if err := os.WriteFile(last, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			p := s.forExec(t, object{}).with(t, object{"terminationLog": last}).with(t, test.changes)
			cmd := command(p, append([]string{"exec"}, test.args...)...)
			cmd.Env = append(cmd.Env, "PATH="+os.Getenv("PATH"))
			a := start(t, cmd)
			a.ends(test.want)
			words, err := os.ReadFile(last)
			if err != nil {
				t.Fatal(err)
			}
			// These are found before the file for the last words is known.
			early := slices.Contains([]string{"no command", "a flag that is none", "no configuration that is right"}, test.name)
			switch text := a.log.String(); {
			case test.says == "" && text+string(words) != "":
				t.Errorf("it says %q", text)
			case !strings.Contains(text, test.says), !early && !strings.Contains(string(words), test.says):
				t.Errorf("it says %q and leaves %q, want %q", text, words, test.says)
			case strings.Contains(text+string(words), "canary"):
				t.Error("it prints a value")
			}
		})
	}
}

func TestSIGTERMWhileExecWaitsEndsItAtOnce(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 8)
	hang := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-hang
	}))
	defer s.Close()
	defer close(hang)
	a := newPod(t, s.URL, "st.good").forExec(t, object{}).supervise(t, "echo started")
	<-asked
	a.endsOn(syscall.SIGTERM, 143)
	if strings.Contains(a.log.String(), "started") {
		t.Error("the command was started")
	}
}

func TestExecWaitsForAServerThatIsAway(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.status.Store(503)
	a := newPod(t, s.URL, "st.good").forExec(t, object{}).supervise(t, "echo up $A")
	a.says("refresh failed", "Unreachable")
	s.status.Store(0)
	a.ends(0, "up canary-1")
}

func TestALostAccessEndsTheCommandOnlyIfThatIsAskedFor(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		onRevoked string
		code      int
		says      string
	}{
		{"exit", 5, "kms-agent: Forbidden"},
		{"keep", 7, "bye first"},
		{"delete", 7, "bye first"},
	} {
		t.Run(test.onRevoked, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.put("A", "first")
			p := s.forExec(t, object{}).with(t, object{"onRevoked": test.onRevoked, "listen": freeAddress(t)})
			a := p.supervise(t, ending("TERM"))
			a.says("up first")
			for _, path := range []string{"/startupz", "/readyz"} {
				if status, body := get(t, p.listen(t), path); status != http.StatusOK {
					t.Errorf("%s is %d %s as soon as the command runs", path, status, body)
				}
			}
			if _, err := s.Admin().RemoveIdentityFromProject(t.Context(), s.project.ID, s.who.IdentityID); err != nil {
				t.Fatal(err)
			}
			a.says("refresh failed", "Forbidden")
			if test.onRevoked != "exit" {
				waitFor(t, "two more refusals", func() bool {
					_, metrics := get(t, p.listen(t), "/metrics")
					return strings.Contains(metrics, `kms_agent_failures_total{reason="Forbidden"} 3`)
				})
				if status, body := get(t, p.listen(t), "/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "Forbidden") {
					t.Errorf("/readyz is %d %s after the refusals", status, body)
				}
				if strings.Contains(a.log.String(), "bye") {
					t.Error("the command was ended")
				}
				a.Process.Signal(syscall.SIGTERM)
			}
			a.ends(test.code, test.says)
			a.says("bye first")
		})
	}
}

func TestStdinAndStdoutAreTheCommandsAndTheLogIsOnStderr(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	p := newPod(t, s.URL, "st.good").forExec(t, object{})
	cmd := command(p, "exec", "-log-level", "debug", "--", "sh", "-c", `while read line; do echo "$A $line"; done; echo done`)
	cmd.Stdin = strings.NewReader("one\ntwo\n")
	cmd.Env = append(cmd.Env, "PATH="+os.Getenv("PATH"))
	var out, log strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &log
	if err := cmd.Run(); err != nil || out.String() != "canary-1 one\ncanary-1 two\ndone\n" {
		t.Errorf("%v, stdout %q", err, out.String())
	}
	if !strings.Contains(log.String(), "command started") || strings.Contains(log.String(), "canary") {
		t.Errorf("stderr %q", log.String())
	}
}

// TestExecEndsItsAccessTokenWhereThatIsAskedFor looks at the token through a
// proxy before the server.
func TestExecEndsItsAccessTokenWhereThatIsAskedFor(t *testing.T) {
	t.Parallel()
	kms := newSite(t)
	kms.put("A", "first")
	for _, test := range []struct {
		name, environment string
		code              int
		revoke, valid     bool
	}{
		{"asked for", "prod", 0, true, false},
		{"asked for, and the command never starts", "qa", 6, true, false},
		{"not asked for", "prod", 0, false, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := kms.sibling(t)
			tokens := make(chan string, 100)
			p := s.forExec(t, object{}).with(t, object{
				"server":  s.overheard(t, tokens),
				"sources": []object{{"project": "app", "environment": test.environment}},
				"credentials": object{"clientIdFile": s.auth() + "/id", "clientSecretFile": s.auth() + "/secret",
					"revokeOnExit": test.revoke},
			})
			p.supervise(t, "exit 0").ends(test.code)
			_, err := s.WithToken(<-tokens).ListSecrets(sdk.ListSecretsOptions{ProjectSlug: "app", Environment: "prod"})
			if valid := err == nil; valid != test.valid {
				t.Errorf("the token is valid: %v, want %v (%v)", valid, test.valid, err)
			}
		})
	}
}
