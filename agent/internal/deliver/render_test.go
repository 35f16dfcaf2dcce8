package deliver_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hanzoai/kms/agent/config"
	"github.com/hanzoai/kms/agent/internal/deliver"
	"github.com/hanzoai/kms/api"
)

// secrets makes a set of NAME=value words; a word without "=" is missing.
func secrets(words ...string) (set deliver.Set) {
	for _, word := range words {
		name, value, there := strings.Cut(word, "=")
		if !there {
			set.Missing = append(set.Missing, name)
			continue
		}
		set.Secrets = append(set.Secrets, deliver.Secret{Name: name, Value: value})
	}
	return set
}

// outputs reads the outputs of a configuration, with their defaults.
func outputs(t *testing.T, list string) []config.Output {
	t.Helper()
	c, err := config.Parse(fmt.Appendf(nil, `{"version": 1, "sources": [{"project": "app", "environment": "prod"}], "outputs": [%s]}`, list))
	if err != nil {
		t.Fatal(err)
	}
	return c.Outputs
}

func TestEachOutputIsRenderedInItsFormat(t *testing.T) {
	all := secrets("A=1", "B=two words", "C=YmluYXJ5AA==")
	tests := []struct {
		name, outputs string
		want          []deliver.File
	}{
		{"a file per key", `{}`, set("A=1", "B=two words", "C=YmluYXJ5AA==")},
		{"some keys", `{"keys": ["B"]}`, set("B=two words")},
		{"a binary file", `{"keys": ["C"], "base64": ["C"]}`, set("C=binary\x00")},
		{"dotenv", `{"format": "dotenv", "file": ".env", "keys": ["A", "B"]}`, set(".env=A=1\nB='two words'\n")},
		{"json", `{"format": "json", "file": "s.json", "keys": ["B"]}`, set("s.json={\n  \"B\": \"two words\"\n}\n")},
		{"yaml", `{"format": "yaml", "file": "s.yaml", "keys": ["A"]}`, set("s.yaml=\"A\": \"1\"\n")},
		{"properties", `{"format": "properties", "file": "s.properties", "keys": ["B"]}`, set("s.properties=B=two words\n")},
		{"shell", `{"format": "shell", "file": "s.sh", "keys": ["B"]}`, set("s.sh=export B='two words'\n")},
		{"a template", `{"format": "template", "file": "t", "template": "<{{ .A }}>"}`, set("t=<1>")},
		{"other delimiters", `{"format": "template", "file": "t", "template": "{{<[[ .A ]]>", "delimiters": ["[[", "]]"]}`, set("t={{<1>")},
		{"several", `{"keys": ["A"]}, {"format": "template", "file": "0", "template": "{{ .B }}"}`, set("0=two words", "A=1")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := deliver.Render(outputs(t, test.outputs), all, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAMissingKeyIsAnErrorOrEmptyOrLeavesTheOutput(t *testing.T) {
	some := secrets("A=1", "B")
	tests := []struct {
		name, outputs string
		want          []deliver.File // nil: NotFound
	}{
		{"of a source", `{}`, nil},
		{"of a source, empty", `{"onMissing": "empty"}`, set("A=1", "B=")},
		{"of a source, kept", `{"onMissing": "keep"}`, []deliver.File{set("A=1")[0], {Name: "B", Data: []byte{}, Keep: true}}},
		{"that this output does not want", `{"keys": ["A"]}`, set("A=1")},
		{"of an output", `{"keys": ["C"]}`, nil},
		{"of an output, empty", `{"format": "dotenv", "file": ".env", "keys": ["A", "C"], "onMissing": "empty"}`, set(".env=A=1\nC=\n")},
		{"of an output, kept", `{"format": "dotenv", "file": ".env", "keys": ["A", "C"], "onMissing": "keep"}`, []deliver.File{{Name: ".env", Keep: true}}},
		{"of a template", `{"format": "template", "file": "t", "keys": ["A"], "template": "<{{ .C }}>"}`, nil},
		{"of a template, empty", `{"format": "template", "file": "t", "keys": ["A"], "template": "<{{ .C }}>", "onMissing": "empty"}`, set("t=<>")},
		{"of a template, kept", `{"format": "template", "file": "t", "keys": ["A"], "template": "<{{ .C }}>", "onMissing": "keep"}`, []deliver.File{{Name: "t", Keep: true}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := deliver.Render(outputs(t, test.outputs), some, 1<<20)
			if (err == nil) != (test.want != nil) || err != nil && deliver.ReasonOf(err) != deliver.NotFound {
				t.Fatalf("Render: %v", err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhatCannotBeRenderedIsAnErrorThatNamesItAndNoValue(t *testing.T) {
	tests := []struct {
		name, outputs string
		set           deliver.Set
		want          deliver.Reason
		says          string
	}{
		{"a walk", `{}`, secrets("../x=canary"), deliver.BadConfig, `"../x"`},
		{"a path", `{}`, secrets("a/b=canary"), deliver.BadConfig, `"a/b"`},
		{"a name of the layout", `{}`, secrets("..data=canary"), deliver.BadConfig, `"..data"`},
		{"a dot", `{}`, secrets(".=canary"), deliver.BadConfig, `"."`},
		{"a name that is 4 KiB long", `{}`, secrets(strings.Repeat("k", 4096) + "=canary"), deliver.BadConfig, "kkk"},
		{"the name of another output", `{}, {"format": "json", "file": "s"}`, secrets("s=canary"), deliver.BadConfig, `"s"`},
		{"a value that is no base64", `{"base64": ["A"]}`, secrets("A=canary!"), deliver.BadConfig, `"A"`},
		{"a key that is no variable", `{"format": "dotenv", "file": ".env"}`, secrets("a-b=canary"), deliver.BadConfig, `"a-b"`},
		{"a template that cannot be read", `{"format": "template", "file": "t", "template": "{{ .A "}`, secrets("A=canary"), deliver.BadTemplate, "t"},
		{"a template that fails", `{"format": "template", "file": "t", "template": "{{ fromJson .A }}"}`, secrets("A=canary"), deliver.BadTemplate, "t"},
		{"a template that does not end", `{"format": "template", "file": "t", "template": "{{ range 1000000000 }}{{ end }}"}`, secrets("A=canary"), deliver.BadTemplate, "t"},
		{"a template that is not there", `{"format": "template", "file": "t", "templateFile": "/nowhere/t"}`, secrets("A=canary"), deliver.BadConfig, "/nowhere/t"},
		{"more than the limit", `{}`, secrets("A=canary" + strings.Repeat("x", 1<<10)), deliver.NoSpace, "maxSize"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			files, err := deliver.Render(outputs(t, test.outputs), test.set, 1<<10)
			if deliver.ReasonOf(err) != test.want || err == nil {
				t.Fatalf("Render = %v, %v, want %s", files, err, test.want)
			}
			if !strings.Contains(err.Error(), test.says) {
				t.Errorf("%v does not say %s", err, test.says)
			}
			if strings.Contains(fmt.Sprintf("%v%+v", err, test.set), "canary") {
				t.Error("a value is printed")
			}
		})
	}
	if deliver.ReasonOf(api.ErrTooLarge) != deliver.NoSpace {
		t.Error("an answer that is too large is NoSpace")
	}
}
