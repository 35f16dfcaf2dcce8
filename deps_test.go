package kms_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

const module = "github.com/hanzoai/kms"

// Imports from outside the module that are guarded: only packages whose rule
// names the group may have them.
var guarded = map[string][]string{
	"sql":  {"database/sql/...", "github.com/jackc/pgx/...", "modernc.org/sqlite/..."},
	"aead": {"crypto/aes", "crypto/cipher", "golang.org/x/crypto/chacha20poly1305", "golang.org/x/crypto/nacl/..."},
	"k8s":  {"k8s.io/...", "sigs.k8s.io/..."},
}

// rule says what the packages of one pattern may import. "a/b" is that
// package, "a/b/..." also all below it; the longest pattern that matches a
// package is its rule. Within one rule, packages may import each other.
type rule struct {
	pattern string
	inside  []string // patterns of this module
	groups  []string // names in guarded
	closed  bool     // beside inside and extra, the standard library only
	extra   []string // patterns of a closed rule from outside
}

// rules is the architecture: a package that is in no row has no place in it.
var rules = []rule{
	{pattern: "api", closed: true},
	{pattern: "api/v1alpha1/...", inside: []string{"api"}, groups: []string{"k8s"}},
	{pattern: "sdk/...", inside: []string{"api"}, closed: true},

	{pattern: "server", inside: []string{"api", "internal/app/...", "server/internal/..."}},
	{pattern: "server/internal/app/...", inside: []string{"api", "internal/app/...", "server/internal/..."}},
	{pattern: "server/internal/policy/...", inside: []string{"api", "internal/spelling"}},
	{pattern: "server/internal/seal/...", inside: []string{"api"}, groups: []string{"aead"}},
	{pattern: "server/internal/store/...", inside: []string{"api"}, groups: []string{"sql"}},
	{pattern: "server/internal/audit/...", inside: []string{"api", "server/internal/store"}},
	{pattern: "server/internal/auth/...", inside: []string{"api", "server/internal/store", "server/internal/seal"}},
	{pattern: "server/internal/secrets/...", inside: []string{"api", "server/internal/policy", "server/internal/seal",
		"server/internal/store", "server/internal/auth", "server/internal/audit"}},
	{pattern: "server/internal/rotate/...", inside: []string{"api"}, groups: []string{"sql"}},
	{pattern: "server/internal/httpapi/...", inside: []string{"api", "server/internal/secrets", "server/internal/auth"}},
	{pattern: "server/internal/ui/..."},
	{pattern: "server/kmstest/...", inside: []string{"api", "sdk", "internal/...", "server/internal/..."}},

	// The agent runs in every pod: each import is paid thousands of times.
	{pattern: "agent", inside: []string{"api", "sdk", "agent/...", "internal/app"}, closed: true},
	{pattern: "agent/config", inside: []string{"internal/spelling"}, closed: true},
	{pattern: "agent/config/internal/gen", inside: []string{"agent/config", "internal/markers", "internal/template"}, closed: true},
	{pattern: "agent/internal/...", inside: []string{"api", "sdk", "agent/config", "internal/format", "internal/template"}, closed: true,
		extra: []string{"github.com/fsnotify/fsnotify", "golang.org/x/sys/..."}},

	{pattern: "injector/...", inside: []string{"api", "agent/config", "internal/app/...", "internal/spelling"}, groups: []string{"k8s"}},
	{pattern: "injector/internal/inject/internal/gen", inside: []string{"injector/internal/inject", "internal/markers"}},
	{pattern: "controller/...", inside: []string{"api/...", "sdk", "internal/app/..."}, groups: []string{"k8s"}},
	{pattern: "cli/...", inside: []string{"api/...", "sdk", "internal/app/..."}, groups: []string{"k8s"}},

	{pattern: "internal/app/...", inside: []string{"api", "internal/spelling"}, closed: true},
	{pattern: "internal/debian/...", closed: true},
	{pattern: "internal/format/...", inside: []string{"api"}, closed: true},
	{pattern: "internal/markers", closed: true},
	{pattern: "internal/spelling", closed: true},
	{pattern: "internal/template/...", inside: []string{"api"}, closed: true},
	{pattern: "internal/pki", closed: true},
	{pattern: "internal/transcript", closed: true},
	{pattern: "internal/pgtest/...", inside: []string{"internal/debian"}, groups: []string{"sql"}},

	{pattern: "examples/...", inside: []string{"..."}},
	{pattern: "demo/...", inside: []string{"..."}},
	{pattern: "acceptance/...", inside: []string{"..."}, groups: []string{"sql"}},
	{pattern: "bench/...", inside: []string{"..."}, groups: []string{"sql"}},
	{pattern: "e2e/...", inside: []string{"..."}, groups: []string{"sql", "k8s"}},
}

// TestEveryPackageImportsOnlyWhatItMay reads the files of every platform.
// Test files may import anything.
func TestEveryPackageImportsOnlyWhatItMay(t *testing.T) {
	packages, err := readImports(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	if len(packages["api"]) == 0 {
		t.Fatal("package api was not found: the test looks in the wrong place")
	}
	for _, problem := range checkImports(packages) {
		t.Error(problem)
	}
}

func TestForbiddenImportsAreFound(t *testing.T) {
	for _, test := range []struct {
		name, file, imports string
		want                []string
	}{
		{"a package that has no row", "server/internal/cache/c.go", `"fmt"`,
			[]string{"server/internal/cache is in no row of deps_test.go: give it one"}},
		{"policy reaches for the store", "server/internal/policy/p.go", `"github.com/hanzoai/kms/server/internal/store"`,
			[]string{"server/internal/policy may not import github.com/hanzoai/kms/server/internal/store"}},
		{"a handler reaches for the store", "server/internal/httpapi/h.go", `"github.com/hanzoai/kms/server/internal/store"`,
			[]string{"server/internal/httpapi may not import github.com/hanzoai/kms/server/internal/store"}},
		{"SQL outside the store", "server/internal/audit/a.go", `"github.com/jackc/pgx/v5/pgxpool"`,
			[]string{"server/internal/audit may not import github.com/jackc/pgx/v5/pgxpool (sql)"}},
		{"the standard library's SQL", "server/internal/secrets/s.go", `"database/sql"`,
			[]string{"server/internal/secrets may not import database/sql (sql)"}},
		{"an AEAD outside seal, on another platform", "server/internal/secrets/s_windows.go", `_ "crypto/cipher"`,
			[]string{"server/internal/secrets may not import crypto/cipher (aead)"}},
		{"Kubernetes in the server", "server/main.go", `"k8s.io/client-go/rest"`,
			[]string{"server may not import k8s.io/client-go/rest (k8s)"}},
		{"a module in the wire types", "api/a.go", `"github.com/google/uuid"`,
			[]string{"api may not import github.com/google/uuid"}},
		{"Prometheus in the agent", "agent/main.go", `"github.com/prometheus/client_golang/prometheus"`,
			[]string{"agent may not import github.com/prometheus/client_golang/prometheus"}},
		{"the server in the SDK", "sdk/s.go", `"github.com/hanzoai/kms/server/kmstest"`,
			[]string{"sdk may not import github.com/hanzoai/kms/server/kmstest"}},
		{"the store in one of its own", "server/internal/store/migrations/m.go", `"github.com/hanzoai/kms/server/internal/store"`, nil},
		{"a wiring that knows everything", "server/internal/app/a.go", `"github.com/hanzoai/kms/server/internal/store"`, nil},
		{"a test", "api/a_test.go", `"github.com/google/go-cmp/cmp"`, nil},
		{"a module of its own", "acceptance/go-sdk/g.go", `"k8s.io/api"`,
			[]string{"acceptance/go-sdk may not import k8s.io/api (k8s)"}},
		{"test data", "sdk/testdata/x.go", `"database/sql"`, nil},
		{"the watcher of files", "agent/internal/deliver/d.go", `"github.com/fsnotify/fsnotify"`, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			source := "package p\nimport " + test.imports + "\n"
			packages, err := readImports(fstest.MapFS{test.file: {Data: []byte(source)}})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, checkImports(packages)); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestModulesOfTheirOwnAreLeftOut(t *testing.T) {
	packages, err := readImports(fstest.MapFS{
		"tools/go.mod":    {Data: []byte("module tools\n")},
		"tools/t.go":      {Data: []byte("package t\n")},
		"tools/sub/s.go":  {Data: []byte("package s\n")},
		"server/main.go":  {Data: []byte("package main\n")},
		"_old/o.go":       {Data: []byte("package o\n")},
		".cache/c.go":     {Data: []byte("package c\n")},
		"web/package.txt": {Data: []byte("no Go here\n")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"server"}, slices.Collect(maps.Keys(packages))); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
}

// readImports is what every package of the module imports, by its folder.
func readImports(tree fs.FS) (map[string][]string, error) {
	packages := map[string][]string{}
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			return skipDir(tree, name)
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		imports, err := fileImports(tree, name)
		folder := path.Dir(name)
		packages[folder] = append(packages[folder], imports...)
		return err
	})
	return packages, err
}

// skipDir leaves out what the go command does: hidden folders, test data and
// modules of their own.
func skipDir(tree fs.FS, name string) error {
	base := path.Base(name)
	if name == "." {
		return nil
	}
	if base[0] == '.' || base[0] == '_' || base == "testdata" || base == "node_modules" {
		return fs.SkipDir
	}
	if _, err := fs.Stat(tree, path.Join(name, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

func fileImports(tree fs.FS, name string) ([]string, error) {
	source, err := fs.ReadFile(tree, name)
	if err != nil {
		return nil, err
	}
	file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.ImportsOnly)
	if err != nil {
		return nil, err
	}
	var imports []string
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, fmt.Errorf("%s: import %s: %w", name, spec.Path.Value, err)
		}
		imports = append(imports, imported)
	}
	return imports, nil
}

func checkImports(packages map[string][]string) (problems []string) {
	for _, name := range slices.Sorted(maps.Keys(packages)) {
		rule, ok := ruleOf(name)
		if !ok {
			problems = append(problems, name+" is in no row of deps_test.go: give it one")
			continue
		}
		imports := slices.Clone(packages[name])
		slices.Sort(imports)
		for _, imported := range slices.Compact(imports) {
			if reason, ok := rule.allows(imported); !ok {
				problems = append(problems, name+" may not import "+imported+reason)
			}
		}
	}
	return problems
}

func ruleOf(name string) (found rule, ok bool) {
	for _, rule := range rules {
		if match(rule.pattern, name) && len(rule.pattern) > len(found.pattern) {
			found, ok = rule, true
		}
	}
	return found, ok
}

// allows also says which group the import would need.
func (r rule) allows(imported string) (reason string, ok bool) {
	if inside, ok := strings.CutPrefix(imported, module+"/"); ok {
		return "", match(r.pattern, inside) || matchAny(r.inside, inside)
	}
	for group, patterns := range guarded {
		if matchAny(patterns, imported) && !slices.Contains(r.groups, group) {
			return " (" + group + ")", false
		}
	}
	standard := !strings.Contains(strings.Split(imported, "/")[0], ".")
	return "", standard || !r.closed || matchAny(r.extra, imported)
}

func matchAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return match(pattern, name) })
}

// match reads patterns as the go command does.
func match(pattern, name string) bool {
	below, ok := strings.CutSuffix(pattern, "...")
	if !ok {
		return pattern == name
	}
	return strings.HasPrefix(name+"/", below)
}
