package inject_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hanzoai/kms/injector/internal/inject"
)

func TestEveryAnnotationIsDescribedOnce(t *testing.T) {
	var all []string
	for _, a := range inject.Annotations() {
		all = append(all, a.Name)
		if !strings.HasSuffix(a.Doc, ".") || a.Type == "" || (a.Type == inject.Choice) != (a.Choices != nil) {
			t.Errorf("%s: %+v", a.Name, a)
		}
		if a.Type == inject.Choice && a.Default != "" && !slices.Contains(a.Choices, a.Default) {
			t.Errorf("%s: the default is no choice", a.Name)
		}
	}
	slices.Sort(all)
	if diff := cmp.Diff(slices.Compact(slices.Clone(all)), all); diff != "" {
		t.Errorf("twice: %s", diff)
	}
	var grouped []string
	for _, g := range inject.Groups() {
		for _, a := range g.Annotations {
			grouped = append(grouped, a.Name)
		}
	}
	slices.Sort(grouped)
	if diff := cmp.Diff(all, grouped); diff != "" {
		t.Errorf("not in a group: %s", diff)
	}
}

// A default that is written down in two places must be the same in both.
func TestWhatIsSaidToBeTheDefaultIsTheDefault(t *testing.T) {
	said := map[string]string{}
	var list []string
	for _, a := range inject.Annotations() {
		if a.Default != "" && !a.Output() && a.Name != "path" && a.Name != "env-mode" && a.Name != "signal" && a.Name != "grace" {
			said[a.Name] = a.Default
			list = append(list, a.Name)
		}
	}
	if len(list) < 15 {
		t.Fatalf("only %v", list)
	}
	silent, result := injected(t, settings, inject.Request{Pod: encode(t, the(nil))})
	spoken, explicit := injected(t, settings, inject.Request{Pod: encode(t, the(said))})
	if diff := cmp.Diff(agentConfig(t, result), agentConfig(t, explicit)); diff != "" {
		t.Errorf("the configuration (-silent +spoken):\n%s", diff)
	}
	silent.Spec.InitContainers[0].Env, spoken.Spec.InitContainers[0].Env = nil, nil
	spoken.Spec.InitContainers[0].Args = slices.DeleteFunc(spoken.Spec.InitContainers[0].Args, func(a string) bool { return a == "-log-level" || a == "info" })
	if diff := cmp.Diff(silent.Spec, spoken.Spec); diff != "" {
		t.Errorf("the pod (-silent +spoken):\n%s", diff)
	}
}

func TestTrueAndFalseAreWrittenInOneWay(t *testing.T) {
	for _, a := range inject.Annotations() {
		for value, good := range map[string]bool{
			"true": true, "false": true, "": true, "TRUE": false, "False": false, "1": false, "0": false, "t": false, "f": false, "tRuE": false, "yes": false, " true": false,
		} {
			if a.Type != inject.Flag {
				continue
			}
			got := denied(t, settings, inject.Request{Pod: encode(t, the(map[string]string{a.Name: value}))})
			if (got == nil) != good {
				t.Errorf("%s=%q: %q", a.Name, value, got)
			}
		}
	}
}
