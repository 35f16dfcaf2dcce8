//go:build e2e

package e2e_test

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/sdk"
)

// examplesFolder holds what people copy, so that is what runs here.
const examplesFolder = "../examples/pod-annotations"

func TestEveryExampleHasItsCase(t *testing.T) {
	t.Parallel()
	found, err := filepath.Glob(examplesFolder + "/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var files, cases []string
	for _, file := range found {
		files = append(files, filepath.Base(file))
	}
	for _, e := range examples {
		cases = append(cases, e.file)
	}
	slices.Sort(cases)
	if diff := cmp.Diff(files, cases); diff != "" {
		t.Errorf("files and cases (-files +cases):\n%s", diff)
	}
}

// All run at once, each in a namespace that enforces the restricted Pod
// Security Standard, and live through the same change.
func TestExamplesRunAsPrintedAndFollowAChange(t *testing.T) {
	t.Parallel()
	p := installed(t)
	identity, first := p.identity(t, p.shop), plantShop()
	p.stock(t, first)
	var all []*running
	for _, e := range examples {
		r := &running{example: e, namespace: newNamespace(t), values: first}
		r.kubectl(t, "", "label", "namespace", r.name, "pod-security.kubernetes.io/enforce=restricted")
		all = append(all, r)
	}
	each := func(what string, do func(*testing.T, *running)) {
		t.Run(what, func(t *testing.T) {
			for _, r := range all {
				t.Run(r.file, func(t *testing.T) {
					t.Parallel()
					do(t, r)
				})
			}
		})
	}
	each("deployed", func(t *testing.T, r *running) { r.deploy(t, identity) })
	each("started", func(t *testing.T, r *running) { r.expectStarted(t) })
	if t.Failed() {
		return
	}
	second := plantShop()
	p.stock(t, second)
	each("changed", func(t *testing.T, r *running) {
		if r.values = second; r.changed != nil {
			r.changed(t, r, first)
		}
	})
}

// shop is what the examples read: the values of keys, by folder.
type shop map[string]map[string]string

// plantShop gives the values characters that shells, templates and JSON have to
// escape.
func plantShop() shop {
	return shop{
		"/backend": {
			"API_KEY":     plant(),
			"DB_URL":      plant() + " 'a' \"b\" $HOME `c` \\ \u00e9\nsecond line",
			"DB_USER":     "shop",
			"DB_PASSWORD": plant() + `"&%`,
		},
		"/backend/worker": {"QUEUE_URL": plant()},
		"/databases/shop": {"USER": "shop", "PASSWORD": plant()},
	}
}

// stock puts the values in the shop's folders, which it makes.
func (p *product) stock(t *testing.T, values shop) {
	t.Helper()
	for folder, secrets := range values {
		above := sdk.Scope{ProjectID: p.shop.ID, Environment: "prod", SecretPath: path.Dir(folder)}
		if _, err := p.admin.CreateFolder(t.Context(), above, path.Base(folder), ""); err != nil && !errors.Is(err, api.ErrExists) {
			t.Fatal(err)
		}
		p.put(t, p.shop, folder, secrets)
	}
}

// running is an example that runs, with the values that it should have.
type running struct {
	example
	namespace
	values shop
}

// deploy applies the file with the image that the node has, after all that the
// file names.
func (r *running) deploy(t *testing.T, i identity) {
	printed, err := os.ReadFile(filepath.Join(examplesFolder, r.file))
	if err != nil {
		t.Fatal(err)
	}
	r.credentials(t, r.auth, i)
	if r.beside != "" {
		r.apply(t, r.beside)
	}
	r.apply(t, strings.NewReplacer(
		"image: busybox:1.35\n", "image: localhost/busybox:1\n",
		"\n  name: shop\n", "\n  name: "+r.name+"\n",
		"\n  namespace: shop\n", "\n  namespace: "+r.name+"\n",
	).Replace(string(printed)))
	if r.trigger != nil {
		r.kubectl(t, "", r.trigger...)
	}
}

func (r *running) expectStarted(t *testing.T) {
	r.await(t)
	if r.prints != nil {
		r.expectPrinted(t, r.prints(r.values))
	}
	if r.isJob() {
		return
	}
	place := fmt.Sprintf("stat -f -c %%T %s; stat -L -c %%a %s", path.Dir(r.lies), r.lies)
	r.inEach(t, waitUntilShown(r.shows, r.reads(r.values))+place, "tmpfs\n"+r.mode+"\n")
	if r.started != nil {
		r.started(t, r)
	}
}

// await waits until the workload is complete or as it should be.
func (r *running) await(t *testing.T) {
	t.Helper()
	if r.isJob() {
		r.wait(t, r.workload, "condition=Complete")
		return
	}
	r.kubectl(t, "", "rollout", "status", r.workload, "--timeout=180s")
}

func (r *running) isJob() bool { return strings.HasPrefix(r.workload, "job/") }

func (r *running) pods(t *testing.T) []string {
	t.Helper()
	selector := "app"
	if r.isJob() {
		selector = "batch.kubernetes.io/job-name=" + strings.TrimPrefix(r.workload, "job/")
	}
	names := strings.Fields(r.kubectl(t, "", "get", "pods", "--selector="+selector, "--output=jsonpath={.items[*].metadata.name}"))
	if len(names) == 0 {
		t.Errorf("%s has no pods", r.workload)
	}
	return names
}

// expectPrinted waits for the fingerprints in the logs of all its pods.
func (r *running) expectPrinted(t *testing.T, contents []string) {
	t.Helper()
	for _, pod := range r.pods(t) {
		for _, c := range r.containers {
			for _, content := range contents {
				r.awaitLog(t, pod, c, fingerprint(content), 0)
			}
		}
	}
}

// expectShown waits until the command prints the fingerprints in all its pods.
func (r *running) expectShown(t *testing.T, command string, contents []string) {
	t.Helper()
	r.inEach(t, waitUntilShown(command, contents), "")
}

func waitUntilShown(command string, contents []string) string {
	script := fmt.Sprintf("look() { %s; }\n", command)
	for _, content := range contents {
		script += fmt.Sprintf("until look | grep -q %s; do sleep 0.2; done\n", fingerprint(content))
	}
	return script
}

// inEach expects a script to print something in all that have the secrets.
func (r *running) inEach(t *testing.T, script, want string) {
	t.Helper()
	for _, pod := range r.pods(t) {
		for _, c := range r.containers {
			if got := r.shell(t, pod, c, script); got != want {
				t.Errorf("in %s of %s this printed %q, want %q:\n%s", c, pod, got, want, script)
			}
		}
	}
}

// shell gives what a script prints in a container, which it must do in time.
func (r *running) shell(t *testing.T, pod, container, script string) string {
	t.Helper()
	return r.kubectl(t, "", "exec", pod, "--container="+container, "--", "timeout", "120", "sh", "-c", script)
}

// expectNoRestarts is for those who are told in another way.
func (r *running) expectNoRestarts(t *testing.T) {
	t.Helper()
	counts := r.kubectl(t, "", "get", "pods", "--output=jsonpath={.items[*].status.containerStatuses[*].restartCount}")
	if strings.Trim(counts, "0 ") != "" {
		t.Errorf("containers were restarted: %s", counts)
	}
}
