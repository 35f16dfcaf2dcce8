package render_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/hanzoai/kms/injector/internal/inject"
	"github.com/hanzoai/kms/injector/internal/render"
)

var settings = inject.Settings{Image: "ghcr.io/hanzoai/kms-agent:test"}

const template = `{"metadata":{"annotations":{"kms.hanzo.ai/inject":"true","kms.hanzo.ai/project":"shop","kms.hanzo.ai/env":"prod","kms.hanzo.ai/auth-secret":"a"}},` +
	`"spec":{"securityContext":{"runAsUser":1000},"containers":[{"name":"web","image":"web:1"}]}}`

func stream(t testing.TB, in string) (string, []render.Finding) {
	t.Helper()
	out, findings, err := render.Stream(settings, nil, []byte(in))
	if err != nil {
		t.Fatalf("%v\nof %s", err, in)
	}
	return string(out), findings
}

func TestEachKindOfObjectIsInjectedWhereItsPodIs(t *testing.T) {
	for _, test := range []struct{ name, before, after string }{
		{"Pod", `{"apiVersion":"v1","kind":"Pod",` + template[1:], ""},
		{"Deployment", `{"apiVersion":"apps/v1","kind":"Deployment","spec":{"template":`, "}}"},
		{"StatefulSet", `{"apiVersion":"apps/v1","kind":"StatefulSet","spec":{"template":`, "}}"},
		{"DaemonSet", `{"apiVersion":"apps/v1","kind":"DaemonSet","spec":{"template":`, "}}"},
		{"ReplicaSet", `{"apiVersion":"apps/v1","kind":"ReplicaSet","spec":{"template":`, "}}"},
		{"Job", `{"apiVersion":"batch/v1","kind":"Job","spec":{"template":`, "}}"},
		{"CronJob", `{"apiVersion":"batch/v1","kind":"CronJob","spec":{"jobTemplate":{"spec":{"template":`, "}}}}"},
		{"List of a List", `{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"apps/v1","kind":"Deployment","spec":{"template":`, "}}]}]}"},
	} {
		in := test.before
		if test.after != "" {
			in += template + test.after
		}
		out, findings := stream(t, in)
		if strings.Count(out, "name: kms-agent\n") != 1 || findings != nil {
			t.Errorf("%s: %v\n%s", test.name, findings, out)
		}
		if again, _ := stream(t, out); again != out {
			t.Errorf("%s: not the same again:\n%s", test.name, cmp.Diff(out, again))
		}
	}
}

func TestWhatIsNotInjectedComesOutAsItCame(t *testing.T) {
	for _, in := range []string{
		"# a comment\nkind: Service\napiVersion: v1\nspec: {ports: [{port: 0x50}]}\n",
		"a: &x 1\nb: *x\n---\n- a list\n---\nnumber: 12345678901234567890\n",
		"apiVersion: batch.volcano.sh/v1alpha1\nkind: Job\nspec:\n  template: " + template + "\n",
		"apiVersion: apps/v1\nkind: Deployment\nspec: []\n",
		"apiVersion: v1\nkind: Pod\nmetadata:\n  annotations: {kms.hanzo.ai/inject: \"false\"}\nspec: {containers: [{name: web}]}\n",
	} {
		if out, findings := stream(t, in); out != in || findings != nil {
			t.Errorf("%v\n%s", findings, cmp.Diff(in, out))
		}
	}
}

func TestWhatAPodHasBesideStaysInMeaning(t *testing.T) {
	extra := `"big":9007199254740993,"ratio":0.1,"text":"yes","null":null,"empty":{},"list":[],"date":"2001-01-01","octal":"0777","long":"` + strings.Repeat("word ", 40) + `","html":"<&>","lines":"a\n b\n"`
	in := `{"apiVersion":"v1","kind":"Pod","top":{` + extra + `},` + strings.Replace(template[1:], `"spec":{`, `"spec":{`+extra+`,`, 1)
	out, _ := stream(t, in)
	asJSON, err := yaml.YAMLToJSON([]byte(out))
	if err != nil {
		t.Fatal(err)
	}
	type other struct {
		Top, Spec map[string]json.RawMessage
	}
	var want, got other
	if err := json.Unmarshal([]byte(in), &want); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(asJSON, &got); err != nil {
		t.Fatal(err)
	}
	for name, value := range want.Top {
		text := plain(t, value)
		if plain(t, got.Top[name]) != text || plain(t, got.Spec[name]) != text {
			t.Errorf("%s: want %s, got %s and %s", name, text, got.Top[name], got.Spec[name])
		}
	}
}

// plain is JSON without the escapes that it may have or not.
func plain(t *testing.T, text []byte) string {
	t.Helper()
	return strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(text))
}

func TestJSONDocumentsInARowAreAStream(t *testing.T) {
	pod := `{"apiVersion":"v1","kind":"Pod",` + template[1:]
	out, _ := stream(t, pod+"\n"+pod+"\n---\n{flow: yaml}\n")
	if strings.Count(out, "\n---\n") != 2 || strings.Count(out, "name: kms-agent\n") != 2 || !strings.HasSuffix(out, "{flow: yaml}\n") {
		t.Error(out)
	}
}

func TestAnnotationsInTheWrongPlaceAreWarnedOf(t *testing.T) {
	in := `{"apiVersion":"batch/v1","kind":"CronJob","metadata":{"name":"report","annotations":{"kms.hanzo.ai/inject":"true","kms.hanzo.ai/unknown":"x","other":"x"}},` +
		`"spec":{"jobTemplate":{"metadata":{"annotations":{"kms.hanzo.ai/secret-db":"A"}},"spec":{"template":{"spec":{}}}}}}`
	_, findings := stream(t, in)
	const place = " has no effect here: it belongs to spec.jobTemplate.spec.template.metadata.annotations"
	want := []render.Finding{
		{Object: "CronJob/report", Text: "kms.hanzo.ai/inject" + place},
		{Object: "CronJob/report", Text: "kms.hanzo.ai/secret-db" + place},
	}
	if diff := cmp.Diff(want, findings); diff != "" {
		t.Error(diff)
	}
}

// The namespace of the stream counts for its own objects, what the caller says
// for others; and a profile is one of the same namespace.
func TestNamespacesAndProfilesOfTheStreamHold(t *testing.T) {
	pod := func(namespace string) string {
		return `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web","namespace":"` + namespace + `","annotations":{"kms.hanzo.ai/inject":"true","kms.hanzo.ai/auth-secret":"a"}},"spec":{"containers":[{"name":"web"}]}}`
	}
	cluster := `
{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop","annotations":{"kms.hanzo.ai/env":"prod","kms.hanzo.ai/profile":"p"}}}
{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"p","namespace":"shop"},"data":{"project":"from-profile"}}`
	for _, test := range []struct{ namespace, want string }{
		{"shop", `"project":"from-profile"`},
		{"other", `"project":"from-caller"`},
	} {
		out, findings, err := render.Stream(settings, map[string]string{"kms.hanzo.ai/env": "dev", "kms.hanzo.ai/project": "from-caller"}, []byte(pod(test.namespace)+cluster))
		if err != nil || !strings.Contains(string(out), test.want) {
			t.Errorf("%s: %v %v\n%s", test.namespace, findings, err, out)
		}
	}
}

func TestAStreamWithAPodThatIsDeniedDoesNotComeOut(t *testing.T) {
	out, findings := stream(t, `{"kind":"Good"}{"apiVersion":"v1","kind":"Pod",`+strings.Replace(template[1:], "prod", "", 1))
	if out != "" || len(findings) != 1 || !findings[0].Denied {
		t.Errorf("%v\n%s", findings, out)
	}
}

// Whatever comes as a stream: an error, or a stream that is then done.
func FuzzStreams(f *testing.F) {
	f.Add(`{"apiVersion":"v1","kind":"Pod",` + template[1:])
	f.Add("a: 1\n---\n# nothing\n---\nkind: List\nitems: [1]\n...\n")
	f.Add("apiVersion: apps/v1\nkind: Deployment\nspec:\n  template: " + template + "\n")
	f.Add("{}{}\n---\n{a: b}\n--- #\n\t")
	f.Fuzz(func(t *testing.T, in string) {
		out, _, err := render.Stream(settings, nil, []byte(in))
		if err != nil || out == nil {
			return
		}
		again, _, err := render.Stream(settings, nil, out)
		if err != nil || string(again) != string(out) {
			t.Errorf("%v\n%s", err, cmp.Diff(string(out), string(again)))
		}
	})
}
