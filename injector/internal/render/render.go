package render

import (
	"encoding/json"
	"errors"

	"github.com/hanzoai/kms/injector/internal/inject"
	"github.com/hanzoai/kms/injector/internal/workload"
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
func (r *renderer) learn(o workload.Object) {
	switch o.Kind() {
	case "/Namespace":
		r.namespaces[o.Text("metadata", "name")] = o.Texts("metadata", "annotations")
	case "/ConfigMap":
		r.configMaps[o.Text("metadata", "namespace")+"/"+o.Text("metadata", "name")] = o.Texts("data")
	}
}

func (r *renderer) object(o workload.Object) {
	for _, text := range o.Misplaced() {
		r.find(o, text, false)
	}
	pod, has := o.Pod()
	if !has {
		return
	}
	result, err := r.inject(pod, o.Text("metadata", "namespace"))
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

func (r *renderer) inject(pod workload.Object, namespace string) (inject.Result, error) {
	text, err := json.Marshal(pod)
	if err != nil {
		return inject.Result{}, err
	}
	read, err := inject.Read(text)
	if err != nil {
		return inject.Result{}, err
	}
	request := inject.Request{Operation: "CREATE", Namespace: r.elsewhere}
	if known, found := r.namespaces[namespace]; found {
		request.Namespace = known
	}
	request.Profile = r.configMaps[namespace+"/"+read.Profile(r.settings, request.Namespace)]
	return read.Inject(r.settings, request)
}

func (r *renderer) find(o workload.Object, text string, denied bool) {
	r.denied = r.denied || denied
	r.findings = append(r.findings, Finding{Object: o.Name(), Text: text, Denied: denied})
}

// each visits an object, or all in a List.
func each(value any, visit func(workload.Object)) {
	o, is := value.(map[string]any)
	if !is {
		return
	}
	items, isList := o["items"].([]any)
	if !isList || workload.Object(o).Kind() != "/List" {
		visit(o)
		return
	}
	for _, item := range items {
		each(item, visit)
	}
}
