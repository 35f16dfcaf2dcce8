package kms_test

// SPDX-License-Identifier: Apache-2.0

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// lastFeature is the number of rows of docs/features.md: S1 to S141.
const lastFeature = 141

// A feature table that nobody checks is a wish list after a month. So every
// row that claims something names its proof, and the proof has to exist.
func TestEveryFeatureRowNamesAProofThatExists(t *testing.T) {
	page, err := os.ReadFile("docs/features.md")
	if err != nil {
		t.Fatal(err)
	}
	problems, err := checkFeatures(string(page), os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range problems {
		t.Error("docs/features.md:" + problem)
	}
}

func TestTheFeatureCheckFindsWhatIsWrong(t *testing.T) {
	tests := []struct {
		name string
		row  string // stands in the place of the row of S7
		want []string
	}{
		{"nothing proved yet", "| S7 | It sings. | not yet | |", nil},
		{"a test, bare", "| S7 | It sings. | done | TestSings |", nil},
		{"tests in quotes, of a fuzzer and an example", "| S7 | It sings. | partly | `TestSings`, FuzzSong, `Example_song` |", nil},
		{"a make target", "| S7 | It sings. | done | `make demo` |", nil},
		{"the second target of a rule", "| S7 | It sings. | done | `make demo-keep` |", nil},
		{"a Node test with a comma in its title", "| S7 | It sings. | done | `acceptance/node/song.test.js: sings, loudly`, TestSings |", nil},
		{"a bar in the text", `| S7 | It sings a \| b. | done | TestSings |`, nil},

		{"no row", "", []string{"0: S7 has no row"}},
		{"a row twice", "| S8 | It sings. | not yet | |", []string{"0: S7 has no row", "8: S8 has a row already, in line 7"}},
		{"a row too many", "| S142 | It sings. | not yet | |", []string{"0: S7 has no row", "7: S142 is no id: give S1 to S141"}},
		{"an id that is none", "| S07 | It sings. | not yet | |", []string{"0: S7 has no row", "7: S07 is no id: give S1 to S141"}},
		{"a column too many", "| S7 | It sings. | done | TestSings | more |", []string{"0: S7 has no row", "7: the row has 5 columns: give id, what holds, state and proof"}},
		{"a column too few", "| S7 | It sings. | not yet |", []string{"0: S7 has no row", "7: the row has 3 columns: give id, what holds, state and proof"}},
		{"an empty column without a space", "| S7 | It sings. | not yet ||", nil},
		{"no text", "| S7 | | not yet | |", []string{"7: S7 does not say what holds"}},
		{"an unknown state", "| S7 | It sings. | nearly | TestSings |", []string{`7: S7 has the state "nearly": give done, partly or not yet`}},
		{"done without proof", "| S7 | It sings. | done | |", []string{"7: S7 is done but names no proof"}},
		{"partly without proof", "| S7 | It sings. | partly | |", []string{"7: S7 is partly but names no proof"}},
		{"a proof of nothing", "| S7 | It sings. | not yet | TestSings |", []string{"7: S7 is not yet but names a proof"}},
		{"a test that does not exist", "| S7 | It sings. | done | TestSings, TestHums |", []string{"7: S7: no _test.go file has a function TestHums"}},
		{"a method is no test", "| S7 | It sings. | done | TestMethod |", []string{"7: S7: no _test.go file has a function TestMethod"}},
		{"a helper is no test", "| S7 | It sings. | done | TestHelper |", []string{"7: S7: no _test.go file has a function TestHelper"}},
		{"a test in a comment", "| S7 | It sings. | done | TestCommentedOut |", []string{"7: S7: no _test.go file has a function TestCommentedOut"}},
		{"a test that is not ours", "| S7 | It sings. | done | TestForeign |", []string{"7: S7: no _test.go file has a function TestForeign"}},
		{"a test that Go does not see", "| S7 | It sings. | done | TestSample |", []string{"7: S7: no _test.go file has a function TestSample"}},
		{"a target that does not exist", "| S7 | It sings. | done | `make song` |", []string{"7: S7: the Makefile has no target song"}},
		{"a variable is no target", "| S7 | It sings. | done | `make BIN` |", []string{"7: S7: the Makefile has no target BIN"}},
		{"a file that does not exist", "| S7 | It sings. | done | `acceptance/node/hum.test.js: sings` |", []string{"7: S7: there is no file acceptance/node/hum.test.js"}},
		{"a file elsewhere", "| S7 | It sings. | done | `../song.test.js: sings` |", []string{"7: S7: there is no file ../song.test.js"}},
		{"a title that does not exist", "| S7 | It sings. | done | `acceptance/node/song.test.js: hums` |", []string{`7: S7: acceptance/node/song.test.js has no test "hums"`}},
		{"part of a title", "| S7 | It sings. | done | `acceptance/node/song.test.js: sings` |", []string{`7: S7: acceptance/node/song.test.js has no test "sings"`}},
		{"a promise", "| S7 | It sings. | done | see the demo |", []string{"7: S7: see the demo is no proof: give a test, `make target` or `file: title`"}},
		{"a missing comma", "| S7 | It sings. | done | `TestSings` `TestHums` |", []string{"7: S7: `TestSings` `TestHums` is no proof: give a test, `make target` or `file: title`"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := checkFeatures(pageWith(test.row), songRepository())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheFeatureCheckRefusesARepositoryItCannotParse(t *testing.T) {
	repo := fstest.MapFS{"song_test.go": {Data: []byte("package song\nfunc TestSings(")}}
	if problems, err := checkFeatures(pageWith(""), repo); err == nil {
		t.Errorf("checkFeatures of a broken test file: got %q, want an error", problems)
	}
}

// pageWith is a page on which line 7 is row instead of the good row of S7.
func pageWith(row string) string {
	var page strings.Builder
	for n := 1; n <= lastFeature; n++ {
		if n == 7 {
			fmt.Fprintln(&page, row)
			continue
		}
		fmt.Fprintf(&page, "| S%d | It works. | not yet | |\n", n)
	}
	return page.String()
}

func songRepository() fs.FS {
	return fstest.MapFS{
		"Makefile": {Data: []byte("BIN := bin\n.PHONY: demo\ndemo demo-keep: build\n\tgo run ./demo\n")},
		"song/song_test.go": {Data: []byte(`package song_test
func TestSings(t *testing.T) {}
func FuzzSong(f *testing.F) {}
func Example_song() {}
func (s song) TestMethod(t *testing.T) {}
func TestHelper(t *testing.T, name string) {}
// func TestCommentedOut(t *testing.T) {}
`)},
		"acceptance/node/song.test.js":                 {Data: []byte("test('sings, loudly', () => {})\n")},
		"acceptance/node/node_modules/foo/foo_test.go": {Data: []byte("package foo\nfunc TestForeign(t *testing.T) {}\n")},
		"song/testdata/sample_test.go":                 {Data: []byte("package sample\nfunc TestSample(t *testing.T) {}\n")},
	}
}

// featureRow is one row of the table.
type featureRow struct {
	line                    int
	id, holds, state, proof string
}

// checkFeatures says what is wrong with page, a list of "line: problem". Line
// 0 stands for the page as a whole. Proofs are looked up in repo.
func checkFeatures(page string, repo fs.FS) ([]string, error) {
	tests, err := testFunctions(repo)
	if err != nil {
		return nil, err
	}
	targets, err := makeTargets(repo)
	if err != nil {
		return nil, err
	}
	rows, problems := featureRows(page)
	problems = append(missingRows(rows), problems...)
	for _, row := range rows {
		for _, problem := range checkRow(row, proofs{repo, tests, targets}) {
			problems = append(problems, fmt.Sprintf("%d: %s", row.line, problem))
		}
	}
	return problems, nil
}

var featureID = regexp.MustCompile(`^S[1-9][0-9]{0,2}$`)

// featureRows reads the rows whose id is good and new.
func featureRows(page string) (rows []featureRow, problems []string) {
	seen := map[string]int{}
	for i, text := range strings.Split(page, "\n") {
		line := i + 1
		report := func(format string, args ...any) {
			problems = append(problems, fmt.Sprintf("%d: ", line)+fmt.Sprintf(format, args...))
		}
		cells := tableCells(text)
		if len(cells) == 0 || cells[0] == "id" || cells[0] == "---" {
			continue
		}
		var n int
		fmt.Sscanf(cells[0], "S%d", &n)
		switch {
		case len(cells) != 4:
			report("the row has %d columns: give id, what holds, state and proof", len(cells))
		case !featureID.MatchString(cells[0]) || n > lastFeature:
			report("%s is no id: give S1 to S%d", cells[0], lastFeature)
		case seen[cells[0]] > 0:
			report("%s has a row already, in line %d", cells[0], seen[cells[0]])
		default:
			seen[cells[0]] = line
			rows = append(rows, featureRow{line, cells[0], cells[1], cells[2], cells[3]})
		}
	}
	return rows, problems
}

// tableCells splits one line of a Markdown table; nil if it is none. A bar
// after a backslash belongs to its cell.
func tableCells(line string) []string {
	line = strings.TrimSpace(line)
	if !strings.HasPrefix(line, "|") {
		return nil
	}
	line = strings.ReplaceAll(line, `\|`, "\x00")
	cells := strings.Split(strings.TrimSuffix(line[1:], "|"), "|")
	for i, cell := range cells {
		cells[i] = strings.TrimSpace(strings.ReplaceAll(cell, "\x00", "|"))
	}
	return cells
}

func missingRows(rows []featureRow) (problems []string) {
	for n := 1; n <= lastFeature; n++ {
		id := fmt.Sprintf("S%d", n)
		if !slices.ContainsFunc(rows, func(r featureRow) bool { return r.id == id }) {
			problems = append(problems, fmt.Sprintf("0: %s has no row", id))
		}
	}
	return problems
}

func checkRow(row featureRow, known proofs) (problems []string) {
	if row.holds == "" {
		problems = append(problems, row.id+" does not say what holds")
	}
	switch row.state {
	case "not yet":
		if row.proof != "" {
			problems = append(problems, row.id+" is not yet but names a proof")
		}
		return problems
	case "done", "partly":
	default:
		return append(problems, fmt.Sprintf("%s has the state %q: give done, partly or not yet", row.id, row.state))
	}
	if row.proof == "" {
		return append(problems, fmt.Sprintf("%s is %s but names no proof", row.id, row.state))
	}
	for _, proof := range splitProofs(row.proof) {
		if problem := known.check(proof); problem != "" {
			problems = append(problems, row.id+": "+problem)
		}
	}
	return problems
}

// splitProofs splits at the commas outside of backquotes.
func splitProofs(cell string) (proofs []string) {
	quoted := false
	for _, part := range strings.FieldsFunc(cell, func(r rune) bool {
		if r == '`' {
			quoted = !quoted
		}
		return r == ',' && !quoted
	}) {
		proofs = append(proofs, strings.TrimSpace(part))
	}
	return proofs
}

// proofs is what a proof may name.
type proofs struct {
	repo    fs.FS
	tests   map[string]bool
	targets map[string]bool
}

var (
	proofOfTest   = regexp.MustCompile("^(`?)((?:Test|Fuzz|Example)(?:[A-Z0-9_]\\w*)?)(`?)$")
	proofOfTarget = regexp.MustCompile("^(`?)make ([\\w-]+)(`?)$")
	proofOfFile   = regexp.MustCompile("^`([\\w./-]+\\.(?:js|mjs|ts)): ([^`]+)`$")
)

// check says what is wrong with one proof, "" if nothing is.
func (p proofs) check(proof string) string {
	if m := proofOfTest.FindStringSubmatch(proof); m != nil && m[1] == m[3] {
		if !p.tests[m[2]] {
			return "no _test.go file has a function " + m[2]
		}
		return ""
	}
	if m := proofOfTarget.FindStringSubmatch(proof); m != nil && m[1] == m[3] {
		if !p.targets[m[2]] {
			return "the Makefile has no target " + m[2]
		}
		return ""
	}
	if m := proofOfFile.FindStringSubmatch(proof); m != nil {
		return p.checkFile(m[1], m[2])
	}
	return proof + " is no proof: give a test, `make target` or `file: title`"
}

func (p proofs) checkFile(name, title string) string {
	text, err := fs.ReadFile(p.repo, name)
	if err != nil {
		return "there is no file " + name
	}
	for _, quote := range []string{"'", `"`, "`"} {
		if strings.Contains(string(text), quote+title+quote) {
			return ""
		}
	}
	return fmt.Sprintf("%s has no test %q", name, title)
}

// testFunctions is every test, fuzz test and example of repo, modules below
// it included, outside of the folders that are not ours or not compiled.
func testFunctions(repo fs.FS) (map[string]bool, error) {
	tests := map[string]bool{}
	err := fs.WalkDir(repo, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && skippedFolder(entry.Name()):
			return fs.SkipDir
		case entry.IsDir() || !strings.HasSuffix(name, "_test.go"):
			return nil
		}
		return addTests(tests, repo, name)
	})
	return tests, err
}

func skippedFolder(name string) bool {
	if name == "." {
		return false
	}
	return name == "node_modules" || name == "testdata" || name == "vendor" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")
}

func addTests(tests map[string]bool, repo fs.FS, name string) error {
	text, err := fs.ReadFile(repo, name)
	if err != nil {
		return err
	}
	file, err := parser.ParseFile(token.NewFileSet(), path.Clean(name), text, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	for _, declaration := range file.Decls {
		if f, ok := declaration.(*ast.FuncDecl); ok && isTest(f) {
			tests[f.Name.Name] = true
		}
	}
	return nil
}

func isTest(f *ast.FuncDecl) bool {
	parameters := 1
	if strings.HasPrefix(f.Name.Name, "Example") {
		parameters = 0
	}
	return f.Recv == nil && f.Type.Results == nil && f.Type.Params.NumFields() == parameters &&
		proofOfTest.MatchString(f.Name.Name)
}

var makeRule = regexp.MustCompile(`(?m)^([\w][\w -]*):(?:[^=]|$)`)

// makeTargets is every target with a rule in the Makefile; a target that is
// only declared phony does nothing and is none.
func makeTargets(repo fs.FS) (map[string]bool, error) {
	text, err := fs.ReadFile(repo, "Makefile")
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	targets := map[string]bool{}
	for _, rule := range makeRule.FindAllStringSubmatch(string(text), -1) {
		for _, target := range strings.Fields(rule[1]) {
			targets[target] = true
		}
	}
	return targets, nil
}
