package render_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/hanzoai/kms/injector/internal/render"
)

// The rows are as in RFC 6902 and its appendix A.
func TestPatchesApplyAsTheRFCSays(t *testing.T) {
	for _, test := range []struct{ name, document, patch, want string }{
		{"add a member", `{"foo":"bar"}`, `[{"op":"add","path":"/baz","value":"qux"}]`, `{"baz":"qux","foo":"bar"}`},
		{"add an element", `{"foo":["bar","baz"]}`, `[{"op":"add","path":"/foo/1","value":"qux"}]`, `{"foo":["bar","qux","baz"]}`},
		{"add behind all", `{"foo":["bar"]}`, `[{"op":"add","path":"/foo/1","value":1},{"op":"add","path":"/foo/-","value":[2]}]`, `{"foo":["bar",1,[2]]}`},
		{"add over a member", `{"foo":1}`, `[{"op":"add","path":"/foo","value":null}]`, `{"foo":null}`},
		{"remove a member", `{"baz":"qux","foo":"bar"}`, `[{"op":"remove","path":"/baz"}]`, `{"foo":"bar"}`},
		{"remove an element", `{"foo":["bar","qux","baz"]}`, `[{"op":"remove","path":"/foo/1"}]`, `{"foo":["bar","baz"]}`},
		{"replace", `{"a":[{"b":1}]}`, `[{"op":"replace","path":"/a/0/b","value":12345678901234567890}]`, `{"a":[{"b":12345678901234567890}]}`},
		{"test", `{"a":["x",2]}`, `[{"op":"test","path":"/a/1","value":2},{"op":"test","path":"/a","value":["x",2]}]`, `{"a":["x",2]}`},
		{"escapes", `{"/":9,"~1":10}`, `[{"op":"replace","path":"/~01","value":1},{"op":"remove","path":"/~1"}]`, `{"~1":1}`},
		{"a test that fails", `{"a":"x"}`, `[{"op":"test","path":"/a","value":"y"}]`, "error: the value is another"},
		{"add to a parent that is not there", `{"foo":"bar"}`, `[{"op":"add","path":"/baz/bat","value":"qux"}]`, `error: there is no "baz"`},
		{"replace what is not there", `{}`, `[{"op":"replace","path":"/a","value":1}]`, `error: there is no "a"`},
		{"an index too far", `{"a":[1]}`, `[{"op":"add","path":"/a/2","value":1}]`, `error: there is no element "2"`},
		{"an index with a zero before it", `{"a":[1,2]}`, `[{"op":"remove","path":"/a/01"}]`, `error: there is no element "01"`},
		{"below a text", `{"a":"b"}`, `[{"op":"add","path":"/a/b","value":1}]`, `error: "b" is in no object and no list`},
		{"the whole", `{}`, `[{"op":"replace","path":"","value":1}]`, "error: the path must begin with '/'"},
		{"another operation", `{"a":1}`, `[{"op":"spam","path":"/a"}]`, `error: there is no operation "spam"`},
		{"no list", `{}`, `{}`, "error: read a JSON patch"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var document map[string]any
			decoder := json.NewDecoder(strings.NewReader(test.document))
			decoder.UseNumber()
			if err := decoder.Decode(&document); err != nil {
				t.Fatal(err)
			}
			err := render.Apply(document, []byte(test.patch))
			if want, fails := strings.CutPrefix(test.want, "error: "); fails {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %s", err, want)
				}
				return
			}
			if got, _ := json.Marshal(document); err != nil || string(got) != test.want {
				t.Errorf("%v %s", err, got)
			}
		})
	}
}
