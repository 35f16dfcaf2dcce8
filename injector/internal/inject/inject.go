package inject

import (
	"encoding/json"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/hanzoai/kms/agent/config"
)

// Settings are what the operator of the injector decides.
type Settings struct {
	// Image is the image of the agent, whose entrypoint is kms-agent. It must
	// be given.
	Image string

	// PullPolicy is when a node pulls the image. Without it the cluster's
	// default holds.
	PullPolicy corev1.PullPolicy

	// Defaults hold for all pods that say nothing else: texts by the names of
	// the annotations, without the prefix.
	Defaults map[string]string

	// Servers are the addresses that annotations may choose, beside the
	// default: "https://kms.example.com", or "https://*.example.com" for all
	// hosts below a domain.
	Servers []string

	// ClassicSidecars tells that the cluster has no native sidecars, as before
	// Kubernetes 1.29.
	ClassicSidecars bool

	// Reports say where agents report to, nil if the injector takes no reports.
	Reports *ReportSettings

	// Rollouts tells that a report may roll the owner of its pod.
	Rollouts bool

	// OpenShift tells that the cluster gives each namespace its own users: the
	// agent then gets none from the injector.
	OpenShift bool
}

// ReportSettings are where agents report to.
type ReportSettings struct {
	// URL is the https address.
	URL string

	// CA are the authorities that vouch for it, as PEM. Pods keep those of the
	// moment when they were made.
	CA []byte
}

// Request is one pod, as an API server asks for it.
type Request struct {
	// Pod is the object as it was sent.
	Pod json.RawMessage

	// Operation and Subresource are those of the admission request; only ""
	// and "CREATE" of the pod itself are injected.
	Operation, Subresource string

	// Namespace are the annotations of the pod's namespace.
	Namespace map[string]string

	// Profile is the content of the ConfigMap that Pod.Profile names, nil if
	// there is none of that name.
	Profile map[string]string
}

// Result is what to do with a pod.
type Result struct {
	// Patch is a JSON patch (RFC 6902), nil if the pod stays as it is.
	Patch []byte

	// Warnings are for whoever creates the pod.
	Warnings []string

	// Config is the configuration of the agent, nil if the pod gets none.
	Config []byte

	// Needs are the objects of the pod's namespace that it uses.
	Needs []Need

	// Skipped says in a word why a pod that asks for injection gets none.
	Skipped string
}

// Denied is why a pod that asks for injection must not come to be.
type Denied struct{ Problems []string }

func (d *Denied) Error() string {
	const most = 20 // a message of the API server is read by people
	shown := d.Problems
	if len(shown) > most {
		shown = append(shown[:most:most], fmt.Sprintf("and %d more", len(d.Problems)-most))
	}
	return "kms-injector: " + strings.Join(shown, "; ")
}

// Pod is one that was read.
type Pod struct{ document *document }

// Read reads a pod, for those who ask more than one thing about it.
func Read(text json.RawMessage) (Pod, error) {
	d, err := read(text)
	if err != nil {
		return Pod{}, fmt.Errorf("read the pod: %w", err)
	}
	return Pod{d}, nil
}

// Inject decides about one pod. Its error is a *Denied if the pod cannot be
// injected as its annotations ask, and any other if it is no pod.
func Inject(s Settings, r Request) (Result, error) {
	pod, err := Read(r.Pod)
	if err != nil {
		return Result{}, err
	}
	return pod.Inject(s, r)
}

// Inject decides about the pod, whatever pod the request has.
func (pod Pod) Inject(s Settings, r Request) (Result, error) {
	p := newPlan(s, r, pod.document)
	if skip := p.skip(r); skip != "" {
		return Result{Warnings: p.warnings.bounded(), Skipped: strings.TrimPrefix(skip, notAsked)}, nil
	}
	p.check()
	p.make()
	if len(p.problems) > 0 {
		return Result{Warnings: p.warnings.bounded()}, &Denied{p.problems}
	}
	patch, err := p.patch()
	return Result{Patch: patch, Warnings: p.warnings.bounded(), Config: []byte(p.text), Needs: p.needs}, err
}

// Profile is the ConfigMap in the pod's namespace that holds defaults for this
// pod, given the annotations of its namespace; "" for none. Its content belongs
// into the request.
func (pod Pod) Profile(s Settings, namespace map[string]string) string {
	return newPlan(s, Request{Namespace: namespace}, pod.document).text1("profile")
}

// plan is one injection in the making.
type plan struct {
	settings Settings
	profile  map[string]string
	*document
	values
	warnings warnings
	needs    []Need

	shape  shape
	chosen chosen
	access access
	places places
	config config.Config // of the agent
	text   string        // the same, as the agent reads it
	wrap   string        // the configuration of the wrapper of a command
}
