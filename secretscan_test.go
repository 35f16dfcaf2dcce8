package kms_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// allowFile lists what looks like a secret and is none, such as test vectors:
// a line holds the fingerprint that the failed test prints, the file, and the
// reason.
const allowFile = "scripts/secretscan.allow"

// secretPatterns are high-signal: a finding is a secret or belongs into the
// allow file. The first group, where there is one, is the secret itself.
var secretPatterns = []struct {
	name    string
	pattern *regexp.Regexp
}{
	{"private key", regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{16}`)},
	{"age key", regexp.MustCompile(`AGE-SECRET-KEY-1[0-9A-Z]{58}`)},
	{"AWS access key", regexp.MustCompile(`\b(?:AKIA|ASIA)[0-9A-Z]{16}\b`)},
	{"GitHub token", regexp.MustCompile(`\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{50,})`)},
	{"Slack token", regexp.MustCompile(`\bxox[abposr]-[0-9A-Za-z-]{10,}`)},
	{"Stripe key", regexp.MustCompile(`\b[rs]k_live_[0-9A-Za-z]{20,}`)},
	{"Google key", regexp.MustCompile(`\bAIza[0-9A-Za-z_-]{35}`)},
	{"client secret", regexp.MustCompile(`(?:^|[^0-9A-Za-z_.-])(st\.[0-9A-Za-z_-]{43})(?:$|[^0-9A-Za-z_-])`)},
	{"JWT", regexp.MustCompile(`\beyJ[0-9A-Za-z_-]{8,}\.eyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{16,}`)},
	{"root key or auth secret", regexp.MustCompile(`(?:ROOT_ENCRYPTION_KEY|AUTH_SECRET)[^0-9A-Za-z+/\n]{1,8}([0-9A-Za-z+/_-]{43}=?|[0-9a-fA-F]{64})(?:$|[^0-9A-Za-z+/_=-])`)},
}

func TestTreeHoldsNoSecrets(t *testing.T) {
	problems, err := scanForSecrets(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range problems {
		t.Error(problem)
	}
}

// The planted secrets are put together here, or this file would be a finding.
func TestPlantedSecretsAreFound(t *testing.T) {
	letters := strings.Repeat("aB3xY7-_", 8)
	for _, test := range []struct{ name, text, want string }{
		{"a PEM key", "-----BEGIN EC " + "PRIVATE KEY-----\nMHcCAQEEIIrYSSNQFaA2Hwf1\n", "private key"},
		{"a PEM header alone, as in a parser", "-----BEGIN " + "PRIVATE KEY-----\"", ""},
		{"an AWS key", "id = AKIA" + "IOSFODNN7EXAMPLE", "AWS access key"},
		{"a GitHub token", "token: ghp_" + strings.Repeat("a1B2", 9), "GitHub token"},
		{"a Slack token", "xox" + "b-123456789012-abcdef", "Slack token"},
		{"a client secret", "\"st." + letters[:43] + "\"", "client secret"},
		{"a client secret at the end of the file", "st." + letters[:43], "client secret"},
		{"a shorter word with the same start", "st." + letters[:30], ""},
		{"a field whose name ends in st", "list." + strings.Repeat("a", 43), ""},
		{"a token", "Bearer eyJ" + "hbGciOiJIUzI1NiJ9.eyJ" + "zdWIiOiJhbGljZSJ9." + strings.Repeat("s", 43), "JWT"},
		{"a root key in an env file", "ROOT_ENCRYPTION_KEY" + "=" + strings.Repeat("A1b+", 10) + "abc=", "root key or auth secret"},
		{"an auth secret in YAML", "AUTH_SECRET" + ": \"" + strings.Repeat("0f", 32) + "\"", "root key or auth secret"},
		{"a root key made on the spot", "ROOT_ENCRYPTION_KEY" + "=$(kms-server keygen)", ""},
		{"a name that is mentioned", "set ROOT_ENCRYPTION_KEY, AUTH_SECRET and DB_CONNECTION_URI", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			problems, err := scanForSecrets(fstest.MapFS{"deploy/values.yaml": {Data: []byte("# a line\n" + test.text)}})
			if err != nil {
				t.Fatal(err)
			}
			if test.want == "" {
				if len(problems) > 0 {
					t.Errorf("found %q where there is nothing", problems)
				}
				return
			}
			if len(problems) != 1 || !strings.HasPrefix(problems[0], "deploy/values.yaml:2: "+test.want) {
				t.Fatalf("found %q, want one %s in line 2", problems, test.want)
			}
			if strings.Contains(problems[0], test.text) {
				t.Error("the finding prints the secret")
			}
		})
	}
}

func TestSecretScanSkipsWhatIsNotPartOfTheTree(t *testing.T) {
	secret := []byte("AKIA" + "IOSFODNN7EXAMPLE")
	problems, err := scanForSecrets(fstest.MapFS{
		".git/config":               {Data: secret},
		"web/node_modules/x/README": {Data: secret},
		"bin/kms.env":               {Data: secret},
		"docs/picture.png":          {Data: append([]byte{0}, secret...)},
	})
	if err != nil || len(problems) > 0 {
		t.Errorf("found %q, %v", problems, err)
	}
}

func TestAllowFileNeedsReasonsAndUses(t *testing.T) {
	secret := "AKIA" + "IOSFODNN7EXAMPLE"
	entry := fingerprint(secret) + " sdk/v.txt"
	for _, test := range []struct {
		name, allow, file string
		want              []string
	}{
		{"an entry with a reason", "# comment\n\n" + entry + " AWS's own example\n", "sdk/v.txt", nil},
		{"an entry without a reason", entry + "\n", "sdk/v.txt",
			[]string{allowFile + ":1: want FINGERPRINT FILE REASON"}},
		{"an entry for nothing", fingerprint("gone") + " sdk/v.txt old\n" + entry + " AWS's own example\n", "sdk/v.txt",
			[]string{allowFile + ": " + fingerprint("gone") + " sdk/v.txt is no longer found: remove the line"}},
		{"the same secret in another file", entry + " AWS's own example\n", "sdk/w.txt", []string{
			"sdk/w.txt:1: AWS access key; if it is a test vector, add to " + allowFile + ": " + fingerprint(secret) + " sdk/w.txt REASON",
			allowFile + ": " + entry + " is no longer found: remove the line"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			problems, err := scanForSecrets(fstest.MapFS{allowFile: {Data: []byte(test.allow)}, test.file: {Data: []byte(secret)}})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, problems); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

// scanForSecrets is one line for each secret of the tree that is not allowed,
// and for each flaw of the allow file.
func scanForSecrets(tree fs.FS) (problems []string, err error) {
	allowed, problems, err := readAllowed(tree)
	if err != nil {
		return nil, err
	}
	unused := maps.Clone(allowed)
	err = fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && outsideTree(name) {
			return fs.SkipDir
		}
		if !entry.Type().IsRegular() || name == allowFile {
			return nil
		}
		content, err := fs.ReadFile(tree, name)
		for _, found := range findSecrets(content) {
			key := fingerprint(found.secret) + " " + name
			delete(unused, key)
			if !allowed[key] {
				problems = append(problems, fmt.Sprintf("%s:%d: %s; if it is a test vector, add to %s: %s REASON", name, found.line, found.name, allowFile, key))
			}
		}
		return err
	})
	for _, key := range slices.Sorted(maps.Keys(unused)) {
		problems = append(problems, allowFile+": "+key+" is no longer found: remove the line")
	}
	return problems, err
}

// outsideTree says whether a folder is one that git does not keep.
func outsideTree(folder string) bool {
	return folder == "bin" || slices.Contains([]string{".git", ".cache", "node_modules"}, path.Base(folder))
}

type finding struct {
	name, secret string
	line         int
}

func findSecrets(content []byte) (found []finding) {
	if bytes.IndexByte(content, 0) >= 0 {
		return nil // no text
	}
	for _, kind := range secretPatterns {
		for _, at := range kind.pattern.FindAllSubmatchIndex(content, -1) {
			start, end := at[len(at)-2], at[len(at)-1]
			line := 1 + bytes.Count(content[:start], []byte("\n"))
			found = append(found, finding{kind.name, string(content[start:end]), line})
		}
	}
	return found
}

// fingerprint names a secret without telling it.
func fingerprint(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:8])
}

func readAllowed(tree fs.FS) (allowed map[string]bool, problems []string, err error) {
	allowed = map[string]bool{}
	content, err := fs.ReadFile(tree, allowFile)
	if os.IsNotExist(err) {
		return allowed, nil, nil
	}
	for number, line := range strings.Split(string(content), "\n") {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] == "#" {
			continue
		}
		if len(fields) < 3 {
			problems = append(problems, fmt.Sprintf("%s:%d: want FINGERPRINT FILE REASON", allowFile, number+1))
		}
		if len(fields) >= 2 {
			allowed[fields[0]+" "+fields[1]] = true
		}
	}
	return allowed, problems, err
}
