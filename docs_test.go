package kms_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// A guarantee that cites a test which is gone is a promise without proof.
func TestEveryTestThatAPageCitesExists(t *testing.T) {
	tests, err := testFunctions(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	cited := 0
	for _, page := range append(pages, "README.md", "SECURITY.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range regexp.MustCompile("`((?:Test|Fuzz)[A-Z][A-Za-z0-9]*)`").FindAllSubmatch(text, -1) {
			cited++
			if name := string(match[1]); !tests[name] {
				t.Errorf("%s cites %s: no _test.go file has a function of that name", page, name)
			}
		}
	}
	if cited < 50 {
		t.Errorf("only %d citations were found: the test looks in the wrong place", cited)
	}
}
