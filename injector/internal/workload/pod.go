package workload

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hanzoai/kms/injector/internal/inject"
)

// Pod is the object itself if it is a pod, or the template of those that it
// makes.
func (o Object) Pod() (pod Object, found bool) {
	path, has := podIn(o.Kind())
	if !has {
		return nil, false
	}
	return o.At(path...)
}

// podIn is where an object has a pod, or the template of one.
func podIn(kind string) (path []string, has bool) {
	switch kind {
	case "/Pod":
		return nil, true
	case "apps/Deployment", "apps/StatefulSet", "apps/DaemonSet", "apps/ReplicaSet", "batch/Job":
		return []string{"spec", "template"}, true
	case "batch/CronJob":
		return []string{"spec", "jobTemplate", "spec", "template"}, true
	}
	return nil, false
}

// Misplaced warns of annotations of an object that makes pods: only those of
// the template count.
func (o Object) Misplaced() (warnings []string) {
	path, _ := podIn(o.Kind())
	for i := range path {
		annotations := o.Texts(slices.Concat(path[:i], []string{"metadata", "annotations"})...)
		for _, name := range slices.Sorted(maps.Keys(annotations)) {
			if isKnown(name) {
				warnings = append(warnings, fmt.Sprintf("%s has no effect here: it belongs to %s.metadata.annotations", name, strings.Join(path, ".")))
			}
		}
	}
	return warnings
}

// isKnown knows the annotations for pods: others of our prefix are for objects
// of other kinds.
func isKnown(full string) bool {
	name, ours := strings.CutPrefix(full, inject.Prefix)
	return ours && slices.ContainsFunc(inject.Annotations(), func(a inject.Annotation) bool {
		return a.Name == name || a.Output() && strings.HasPrefix(name, a.Name)
	})
}
