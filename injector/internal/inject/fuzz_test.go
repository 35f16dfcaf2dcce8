package inject_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/hanzoai/kms/injector/internal/inject"
)

// Whatever comes in the place of a pod: no panic, and a patch that applies,
// after which there is nothing more to do. Two values of a pod, injected or
// not, are replaced, or taken out where the replacement is no JSON.
func FuzzPods(f *testing.F) {
	pods := goldenPods(f)
	known := slices.Sorted(maps.Keys(pods))
	for i := range known {
		f.Add(uint(i), false, uint(i), "", uint(i), "")
		f.Add(uint(i), true, uint(7*i), `"kms-agent"`, uint(13*i), `[{"name":"kms-secrets"}]`)
		f.Add(uint(i), true, uint(3*i), `null`, uint(5*i), `{}`)
	}
	f.Fuzz(func(t *testing.T, which uint, again bool, first uint, text string, second uint, other string) {
		name := known[which%uint(len(known))]
		pod, s := pods[name], settings
		s.ClassicSidecars = strings.HasPrefix(name, "classic-")
		if again {
			result, _ := inject.Inject(s, inject.Request{Pod: pod})
			pod = apply(t, pod, result.Patch)
		}
		checkAnything(t, s, inject.Request{Pod: changed(t, changed(t, pod, first, text), second, other)})
	})
}

// changed is the document with its nth value replaced.
func changed(t *testing.T, document []byte, nth uint, by string) []byte {
	t.Helper()
	var root, replacement any
	if err := json.Unmarshal(document, &root); err != nil {
		t.Fatal(err)
	}
	places := pointers("", root)
	place := places[nth%uint(len(places))]
	op := "replace"
	if err := json.Unmarshal([]byte(by), &replacement); err != nil {
		op = "remove"
	}
	path := strings.Split(place, "/")[1:]
	root, err := applied(root, op, path, replacement)
	if err != nil {
		t.Fatal(err)
	}
	return encode(t, root)
}

// pointers are those of all values in a document, without the whole.
func pointers(at string, value any) (list []string) {
	escape := strings.NewReplacer("~", "~0", "/", "~1")
	switch value := value.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(value)) {
			below := at + "/" + escape.Replace(name)
			list = append(append(list, below), pointers(below, value[name])...)
		}
	case []any:
		for i := range value {
			below := fmt.Sprintf("%s/%d", at, i)
			list = append(append(list, below), pointers(below, value[i])...)
		}
	}
	return list
}

// Whatever is written into annotations, and into a profile.
func FuzzAnnotations(f *testing.F) {
	for _, a := range inject.Annotations() {
		f.Add("true", a.Name, a.Default, a.Name, "x")
		f.Add("exec", a.Name+"x", "/a/B", a.Name+"x", "c/d")
	}
	f.Fuzz(func(t *testing.T, mode, name, value, other, text string) {
		pod := the(map[string]string{"inject": mode, name: value, "profile": "p"}, threes)
		checkAnything(t, settings, inject.Request{Pod: encode(t, pod), Profile: map[string]string{other: text}})
	})
}

func checkAnything(t *testing.T, s inject.Settings, r inject.Request) {
	t.Helper()
	result, err := inject.Inject(s, r)
	checkLength(t, result.Warnings)
	if err != nil {
		if result.Patch != nil || errors.As(err, new(*inject.Denied)) && err.Error() == "" {
			t.Errorf("%v with %s", err, result.Patch)
		}
		return
	}
	if result.Patch == nil {
		return
	}
	r.Pod = apply(t, r.Pod, result.Patch)
	var pod corev1.Pod
	if err := json.Unmarshal(r.Pod, &pod); err != nil {
		t.Fatal(err)
	}
	checkConfigs(t, pod)
	unchanged(t, s, r)
}

func checkLength(t *testing.T, warnings []string) {
	t.Helper()
	total := 0
	for _, w := range warnings {
		if total += len(w); len(w) > 120 || total > 4096 {
			t.Errorf("a warning of %d bytes, %d in all: %s", len(w), total, w)
		}
	}
}
