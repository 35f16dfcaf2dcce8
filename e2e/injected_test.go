//go:build e2e

package e2e_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

const prefix = "kms.hanzo.ai/"

// asking is a pod that prints the fingerprint of its secret, and ends. It has
// no volumes and no mounts; edits make it another.
func asking(project string, edits ...func(metadata, spec object)) object {
	annotations := object{prefix + "inject": "true", prefix + "project": project, prefix + "env": "prod", prefix + "auth-secret": "web-kms-auth"}
	metadata := object{"name": "app", "annotations": annotations}
	spec := object{
		"terminationGracePeriodSeconds": 0, "automountServiceAccountToken": false, "restartPolicy": "Never",
		"containers": []object{{"name": "app", "image": "localhost/busybox:1", "command": []string{"sha256sum", "/kms/secrets/DB_URL"}}},
	}
	for _, edit := range edits {
		edit(metadata, spec)
	}
	return object{"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
}

type edit = func(metadata, spec object)

func named(name string) edit { return func(metadata, _ object) { metadata["name"] = name } }

// annotated adds annotations of ours, or with a value of "-" removes them.
func annotated(pairs ...string) edit {
	return func(metadata, _ object) {
		annotations := metadata["annotations"].(object)
		for pair := range slices.Chunk(pairs, 2) {
			annotations[prefix+pair[0]] = pair[1]
			if pair[1] == "-" {
				delete(annotations, prefix+pair[0])
			}
		}
	}
}

// with sets a field of the spec.
func with(field string, value any) edit {
	return func(_, spec object) { spec[field] = value }
}

// staying keeps the application until it is told to end.
func staying() edit {
	const script = "sha256sum /kms/secrets/DB_URL; trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done"
	return with("containers", []object{{"name": "app", "image": "localhost/busybox:1", "command": []string{"sh", "-c", script}}})
}

// gated keeps a pod from any node: it is admitted and nothing more.
func gated() edit {
	return with("schedulingGates", []object{{"name": prefix + "e2e"}})
}

// agents are the containers of the injector's in a pod, as "init kms-agent".
func agents(pod object) (found []string) {
	for _, list := range []string{"initContainers", "containers"} {
		containers, _ := pod.at("spec", list).([]any)
		for _, c := range containers {
			if name, _ := object(c.(map[string]any)).at("name").(string); strings.HasPrefix(name, "kms-agent") {
				found = append(found, strings.TrimSuffix(list, "Containers")+" "+name)
			}
		}
	}
	return found
}

// isInjected tells that the pod has the agent, once, and says so.
func isInjected(pod object) bool {
	return slices.Equal(agents(pod), []string{"init kms-agent"}) && pod.at("metadata", "annotations", prefix+"status") != nil
}

// terminal is what a person sees who runs kubectl.
func (ns namespace) terminal(t *testing.T, input any, arguments ...string) (stdout, stderr string, err error) {
	t.Helper()
	manifest, err := json.Marshal(input)
	if err != nil {
		t.Fatal(err)
	}
	var out, problem strings.Builder
	cmd := ns.command(t.Context(), "kubectl", arguments...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(string(manifest)), &out, &problem
	err = cmd.Run()
	return out.String(), problem.String(), err
}

// expectFingerprint waits until the pod has ended well, with the value read.
func (ns namespace) expectFingerprint(t *testing.T, pod, value string) {
	t.Helper()
	if got := ns.awaitSuccess(t, pod); !strings.HasPrefix(got, fingerprint(value)) {
		t.Errorf("%s printed %q, want the fingerprint of its secret", pod, got)
	}
}

// await asks again and again until there is no problem.
func await(t *testing.T, ask func() error) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	err := ask()
	for err != nil && time.Now().Before(deadline) {
		time.Sleep(100 * time.Millisecond)
		err = ask()
	}
	if err != nil {
		t.Fatalf("waited in vain: %v", err)
	}
}

// list gives objects of one kind.
func (ns namespace) list(t *testing.T, kind string, arguments ...string) (items []object) {
	t.Helper()
	var found struct{ Items []object }
	out := ns.kubectl(t, "", append([]string{"get", kind, "--output=json"}, arguments...)...)
	if err := json.Unmarshal([]byte(out), &found); err != nil {
		t.Fatal(err)
	}
	return found.Items
}

// name is that of an object.
func name(o object) string { return fmt.Sprint(o.at("metadata", "name")) }
