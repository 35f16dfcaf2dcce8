package main_test

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	main "github.com/hanzoai/kms/agent"
)

// jail is a root file system like that of an image of the agent alone: it only
// reads, but for the tmpfs of the set.
const jail = `set -e
	mount -t tmpfs -o nosuid,nodev tmpfs "$JAIL"
	cp -a "$FILES"/. "$JAIL"
	mkdir "$JAIL/kms" "$JAIL/proc"
	mount --bind "$SET" "$JAIL/kms"
	mount -o remount,bind,nosuid,nodev,noexec "$JAIL/kms"
	mount --bind /proc "$JAIL/proc"
	mount -o remount,ro "$JAIL"
	! touch "$JAIL/file" 2>/dev/null
	exec setpriv --no-new-privs --inh-caps=-all --bounding-set=-all,+sys_chroot,+setuid,+setgid -- \
		chroot --userspec=65532:65532 --groups= "$JAIL" /kms-agent run`

func TestAConfinedAgentWritesWatchesAndNotifies(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("only root can build a jail")
	}
	s := newSite(t)
	values := []string{s.Value(), s.Value()}
	s.put("A", values[0])
	kms, ca := s.behindTLS(t)
	told := make(chan string, 8)
	app := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { told <- r.Method }))
	defer app.Close()
	p := s.forStranger(t, true)
	files := filepath.Dir(p.pidFile)
	if err := os.WriteFile(files+"/ca.pem", ca, 0o444); err != nil {
		t.Fatal(err)
	}
	p = p.with(t, object{"server": kms, "caFile": "/ca.pem", "directory": "/kms/secrets", "notify": []object{{"url": app.URL + "/reload"}},
		"credentials": object{"clientIdFile": "/kms/auth/id", "clientSecretFile": "/kms/auth/secret"}})
	set := filepath.Dir(p.dir)
	if out, err := exec.Command("cp", "-a", files, set+"/auth").CombinedOutput(); err != nil { // stays writable for this test
		t.Fatalf("%v, %s", err, out)
	}
	cmd := exec.Command("unshare", "--mount", "--", "sh", "-c", jail)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "KMS_AGENT_CONFIG=" + p.config, "JAIL=" + t.TempDir(), "FILES=" + files, "SET=" + set}
	a := start(t, cmd)
	awaitContent(t, p.dir+"/A", values[0])
	a.expectConfined(t)

	s.put("A", values[1])
	if method := <-told; method != http.MethodPost {
		t.Errorf("the application was told by a %s", method)
	}
	expectFile(t, p.dir+"/A", values[1])
	secret := set + "/auth/secret"
	if err := os.WriteFile(secret+".new", []byte(s.who.ClientSecret), 0o444); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(secret+".new", secret); err != nil {
		t.Fatal(err)
	}
	a.says("logged in with new credentials")
	if text := a.log.String(); strings.Contains(text, "WARN") || strings.Contains(text, "ERROR") {
		t.Error("something did not work")
	}
	p.dir = filepath.Join(set, "secrets")
	if status, text := p.ask(t, "/readyz"); status != http.StatusOK {
		t.Errorf("/readyz is %d, %s", status, text)
	}
	a.terminate()
	s.expectNoTrace(a, values...)
}

// behindTLS puts the server behind a proxy that speaks TLS.
func (s *site) behindTLS(t *testing.T) (address string, ca []byte) {
	t.Helper()
	target, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewTLSServer(httputil.NewSingleHostReverseProxy(target))
	t.Cleanup(front.Close)
	return front.URL, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw})
}

// expectConfined looks at the agent as the kernel has it: it has no rights, and
// neither a core dump nor its memory is to be had.
func (a *agent) expectConfined(t *testing.T) {
	t.Helper()
	proc := fmt.Sprintf("/proc/%d", a.Process.Pid)
	text, err := os.ReadFile(proc + "/status")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Uid:\t65532\t65532", "CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "NoNewPrivs:\t1"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the agent has not got %s: %s", want, text)
		}
	}
	limits, err := os.ReadFile(proc + "/limits")
	if err != nil || !strings.Contains(strings.Join(strings.Fields(string(limits)), " "), "Max core file size 0 0") {
		t.Errorf("core dumps are not off: %v", err)
	}
	if info, err := os.Stat(proc + "/mem"); err != nil || info.Sys().(*syscall.Stat_t).Uid != 0 { // its owner may look at one that is dumpable
		t.Errorf("the memory of the agent is its user's: %v", err)
	}
}

func TestTheLimitOfTheContainerIsReadOfEitherCgroup(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{"v2": "50331648\n", "v2-none": "max\n", "v1": "67108864\n", "v1-none": "9223372036854771712\n", "garbage": "many\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name  string
		files []string
		want  int64
	}{
		{"cgroup v2", []string{"v2", "missing"}, 48 << 20},
		{"cgroup v2 without a limit", []string{"v2-none", "v1"}, 0},
		{"cgroup v1", []string{"missing", "v1"}, 64 << 20},
		{"cgroup v1 without a limit", []string{"missing", "v1-none"}, 0},
		{"no cgroup", []string{"missing", "missing"}, 0},
		{"what nobody knows", []string{"garbage", "missing"}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			for i, file := range test.files {
				test.files[i] = filepath.Join(dir, file)
			}
			if got := main.ContainerLimit(test.files...); got != test.want {
				t.Errorf("the limit is %d, want %d", got, test.want)
			}
		})
	}
}

// many answers so many secrets of 64 KiB, whose values are the version.
func (s *server) many(n int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		tag := fmt.Sprintf(`"%d-%d"`, n, s.version.Load())
		w.Header().Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		value := strings.Repeat(fmt.Sprintf("canary%02d", s.version.Load()), 64<<10/8)
		fmt.Fprint(w, `{"imports":[],"secrets":[`)
		for i := range n {
			if i > 0 {
				fmt.Fprint(w, ",")
			}
			fmt.Fprintf(w, `{"secretKey":"K%d","secretValue":"%s","secretPath":"/","version":1,"createdAt":"2026-01-02T03:04:05Z","updatedAt":"2026-01-02T03:04:05Z"}`, i, value)
		}
		fmt.Fprint(w, `]}`)
	}
}

// TestAnAgentLivesInTheMemoryThatIsAdvised gives it 48 MiB, files and all, for
// the default maxSize of 4 MiB. The kernel kills what needs more.
func TestAnAgentLivesInTheMemoryThatIsAdvised(t *testing.T) {
	t.Parallel()
	group := fmt.Sprintf("/sys/fs/cgroup/memory/kms-agent-test-%d", os.Getpid())
	if os.Mkdir(group, 0o755) != nil || os.WriteFile(group+"/memory.limit_in_bytes", []byte("48M"), 0o644) != nil {
		os.Remove(group)
		t.Skip("there is no memory cgroup of version 1 that this user may make groups in")
	}
	t.Cleanup(func() { os.Remove(group) })
	s := newServer(t)
	const most = 64 // 4 MiB
	s.misbehave(s.many(most))
	p := newPod(t, s.URL, "st.good").with(t, object{"outputs": nil, "previous": true})
	// In a container the group is the root of what is seen.
	const enter = `echo $$ >"$GROUP/cgroup.procs" && mount --bind "$GROUP" /sys/fs/cgroup/memory && exec "$0" run`
	cmd := exec.Command("unshare", "--mount", "--", "sh", "-c", enter, binary)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "KMS_AGENT_CONFIG=" + p.config, "GROUP=" + group}
	a := start(t, cmd)
	want := func() string { return strings.Repeat(fmt.Sprintf("canary%02d", s.version.Load()), 64<<10/8) }
	last := fmt.Sprintf("%s/K%d", p.dir, most-1)
	awaitContent(t, last, want())
	for range 2 {
		s.version.Add(1)
		awaitContent(t, last, want())
	}
	good := want()
	s.version.Add(1)
	s.misbehave(s.many(1000))
	a.says("refresh failed", "NoSpace", "narrow the sources, or raise maxSize and the container's memory limit")
	expectFile(t, last, good)
	p.expectProbes(t, "with a set that is too large", http.StatusOK, http.StatusOK, "")
	s.misbehave(s.many(most))
	awaitContent(t, last, want())
	peak, err := os.ReadFile(group + "/memory.max_usage_in_bytes")
	if err != nil {
		t.Error(err)
	}
	t.Logf("the most that it had is %s bytes of 48 MiB", strings.TrimSpace(string(peak)))
	a.terminate()
	a.expectCleanLog("canary", "st.good")
	os.RemoveAll(p.dir)
}
