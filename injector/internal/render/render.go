package render

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hanzoai/kms/injector/internal/inject"
)

// Finding is what there is to say about one object.
type Finding struct {
	Object string // kind/name
	Text   string
	Denied bool // otherwise it is a warning
}

// Stream injects each pod, and each template of one. The annotations are those
// of a namespace that is not in the stream itself. Its error is about a stream
// that cannot be read; out is nil if a pod is denied.
func Stream(s inject.Settings, namespace map[string]string, in []byte) (out []byte, findings []Finding, err error) {
	documents, err := readStream(in)
	if err != nil {
		return nil, nil, err
	}
	r := renderer{settings: s, elsewhere: namespace, namespaces: texts{}, configMaps: texts{}}
	for _, d := range documents {
		each(d.object, r.learn)
	}
	for i, d := range documents {
		changed := r.changed
		each(d.object, r.object)
		if r.changed > changed {
			documents[i].text = nil
		}
	}
	if r.err != nil || r.denied {
		return nil, r.findings, r.err
	}
	out, err = writeStream(documents)
	return out, r.findings, err
}

// renderer goes through one stream.
type renderer struct {
	settings               inject.Settings
	elsewhere              map[string]string
	namespaces, configMaps texts // by namespace, and by namespace/name

	changed  int // pods
	denied   bool
	findings []Finding
	err      error
}

type texts map[string]map[string]string

// learn takes up what the cluster will know after the stream.
func (r *renderer) learn(o object) {
	switch o.kind() {
	case "/Namespace":
		r.namespaces[o.text("metadata", "name")] = o.texts("metadata", "annotations")
	case "/ConfigMap":
		r.configMaps[o.text("metadata", "namespace")+"/"+o.text("metadata", "name")] = o.texts("data")
	}
}

func (r *renderer) object(o object) {
	path, has := podIn(o.kind())
	if !has {
		return
	}
	for i := range path {
		r.warnMisplaced(o, path[:i], path)
	}
	pod, has := o.at(path...)
	if !has {
		return
	}
	result, err := r.inject(pod, o.text("metadata", "namespace"))
	for _, text := range result.Warnings {
		r.find(o, text, false)
	}
	problem := new(inject.Denied)
	switch {
	case errors.As(err, &problem):
		for _, text := range problem.Problems {
			r.find(o, text, true)
		}
	case err != nil:
		r.find(o, err.Error(), true)
	case result.Patch != nil:
		r.changed++
		r.err = errors.Join(r.err, apply(pod, result.Patch))
	}
}

func (r *renderer) inject(pod object, namespace string) (inject.Result, error) {
	text, err := json.Marshal(pod)
	if err != nil {
		return inject.Result{}, err
	}
	request := inject.Request{Pod: text, Operation: "CREATE", Namespace: r.elsewhere}
	if known, found := r.namespaces[namespace]; found {
		request.Namespace = known
	}
	request.Profile = r.configMaps[namespace+"/"+inject.Profile(r.settings, request)]
	return inject.Inject(r.settings, request)
}

// warnMisplaced is about annotations of an object that makes pods: only those
// of the pod's template count.
func (r *renderer) warnMisplaced(o object, place, path []string) {
	annotations := o.texts(slices.Concat(place, []string{"metadata", "annotations"})...)
	for _, name := range slices.Sorted(maps.Keys(annotations)) {
		if isKnown(name) {
			r.find(o, fmt.Sprintf("%s has no effect here: it belongs to %s.metadata.annotations", name, strings.Join(path, ".")), false)
		}
	}
}

// isKnown knows the annotations for pods: others of our prefix are for objects
// of other kinds.
func isKnown(full string) bool {
	name, ours := strings.CutPrefix(full, inject.Prefix)
	return ours && slices.ContainsFunc(inject.Annotations(), func(a inject.Annotation) bool {
		return a.Name == name || a.Output() && strings.HasPrefix(name, a.Name)
	})
}

func (r *renderer) find(o object, text string, denied bool) {
	r.denied = r.denied || denied
	r.findings = append(r.findings, Finding{Object: o.name(), Text: text, Denied: denied})
}
