package app_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hanzoai/kms/api"
	"github.com/hanzoai/kms/internal/app"
)

const canary = "c4nary+Zm9v/YmFy"

func secretFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func parseSecret(need app.Need, vars map[string]string) (string, error) {
	var value api.Value
	fs := app.NewFlags("kms-test", "")
	fs.Secret(&value, "AUTH_SECRET", need, "signs tokens")
	err := fs.Parse(nil, environ(vars))
	return value.Reveal(), err
}

func TestASecretIsTheBytesThatWereGiven(t *testing.T) {
	tests := []struct {
		name string
		need app.Need
		env  string // AUTH_SECRET
		file string // content of AUTH_SECRET_FILE, "" is not set
		want string
	}{
		{"variable", app.Required, canary, "", canary},
		{"variable with spaces", app.Required, " a b\n", "", " a b\n"},
		{"file", app.Required, "", canary, canary},
		{"file with a line end", app.Required, "", canary + "\n", canary},
		{"file with a Windows line end", app.Required, "", canary + "\r\n", canary},
		{"file with two line ends loses one", app.Required, "", canary + "\n\n", canary + "\n"},
		{"file that ends in a carriage return keeps it", app.Required, "", canary + "\r", canary + "\r"},
		{"file with spaces keeps them", app.Required, "", " a b \n", " a b "},
		{"file with two lines", app.Required, "", "new\nold\n", "new\nold"},
		{"optional and not set", app.Optional, "", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			vars := map[string]string{"AUTH_SECRET": tt.env}
			if tt.file != "" {
				vars["AUTH_SECRET_FILE"] = secretFile(t, tt.file)
			}
			got, err := parseSecret(tt.need, vars)
			if err != nil || got != tt.want {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

func TestAProblemWithASecretNamesTheVariableAndNeverTheValue(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	folder := t.TempDir()
	big := secretFile(t, strings.Repeat(canary, 1<<17))
	const hidden = "AUTH_SECRET_FILE: read a file (its name is not shown, for it may be the secret itself: give an absolute path): "
	tests := []struct {
		name string
		vars map[string]string
		want string
	}{
		{"nothing is set", nil,
			"AUTH_SECRET is missing: set it, or set AUTH_SECRET_FILE to the name of a file that holds it"},
		{"both are empty", map[string]string{"AUTH_SECRET": "", "AUTH_SECRET_FILE": ""},
			"AUTH_SECRET is missing: set it, or set AUTH_SECRET_FILE to the name of a file that holds it"},
		{"both are set", map[string]string{"AUTH_SECRET": canary, "AUTH_SECRET_FILE": secretFile(t, canary)},
			"AUTH_SECRET and AUTH_SECRET_FILE are both set: set one of them"},
		{"no such file", map[string]string{"AUTH_SECRET_FILE": missing},
			"AUTH_SECRET_FILE: read " + missing + ": no such file or directory"},
		{"a folder", map[string]string{"AUTH_SECRET_FILE": folder},
			"AUTH_SECRET_FILE: read " + folder + ": is a directory"},
		{"a file that is too big", map[string]string{"AUTH_SECRET_FILE": big},
			"AUTH_SECRET_FILE: read " + big + ": it has more than 1048576 bytes, which no secret has"},
		{"the secret in place of its file", map[string]string{"AUTH_SECRET_FILE": canary},
			hidden + "no such file or directory"},
		{"a key that looks like a path", map[string]string{"AUTH_SECRET_FILE": "/" + canary + "="},
			hidden + "no such file or directory"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseSecret(app.Required, tt.vars)
			if err == nil || err.Error() != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
			if got != "" {
				t.Errorf("the value was set to %d bytes", len(got))
			}
		})
	}
}

func TestAnEmptyFileIsAnErrorEvenForAnOptionalSecret(t *testing.T) {
	for _, content := range []string{"", "\n", "\r\n"} {
		path := secretFile(t, content)
		_, err := parseSecret(app.Optional, map[string]string{"AUTH_SECRET_FILE": path})
		if want := "AUTH_SECRET_FILE: read " + path + ": it is empty"; err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %s", content, err, want)
		}
	}
}

func TestAllProblemsAreReportedTogether(t *testing.T) {
	var value api.Value
	fs := newFlags(new(config))
	fs.Secret(&value, "AUTH_SECRET", app.Required, "signs tokens")
	fs.Secret(&value, "ROOT_ENCRYPTION_KEY", app.Required, "wraps keys")
	err := fs.Parse([]string{"-lsten=x", "-workers=y"}, environ(map[string]string{"KMS_DEV": "z"}))
	if err == nil || len(strings.Split(err.Error(), "\n")) != 5 {
		t.Errorf("want 5 lines, got:\n%v", err)
	}
}

func TestTheVariablesOfASecretAreGoneAfterParse(t *testing.T) {
	t.Setenv("AUTH_SECRET", canary)
	t.Setenv("OTHER_FILE", secretFile(t, canary))
	var value, other api.Value
	fs := app.NewFlags("kms-test", "")
	fs.Secret(&value, "AUTH_SECRET", app.Required, "")
	fs.Secret(&other, "OTHER", app.Required, "")
	fs.Secret(new(api.Value), "MISSING", app.Required, "")
	if err := fs.Parse(nil, os.LookupEnv); err == nil {
		t.Error("MISSING was not missed")
	}
	if value.Reveal() != canary || other.Reveal() != canary {
		t.Error("the secrets were not read")
	}
	for _, name := range []string{"AUTH_SECRET", "OTHER_FILE"} {
		if _, ok := os.LookupEnv(name); ok {
			t.Errorf("%s is still set", name)
		}
	}
}

func TestTheUsageShowsASecretsVariablesAndNeverItsValue(t *testing.T) {
	value := api.NewValue(canary)
	fs := app.NewFlags("kms-test", "")
	fs.Secret(&value, "AUTH_SECRET", app.Optional, "signs tokens")
	usage := fs.Usage()
	if want := "  AUTH_SECRET, AUTH_SECRET_FILE (optional)\n        signs tokens\n"; !strings.Contains(usage, want) {
		t.Errorf("no %q in:\n%s", want, usage)
	}
	if strings.Contains(usage, canary) {
		t.Error("the value is in the usage")
	}
}

func TestASecretsNameIsAVariablesNameAndUsedOnce(t *testing.T) {
	for _, name := range []string{"", "auth_secret", "AUTH-SECRET", "AUTH_SECRET_FILE", "1AUTH", "TAKEN"} {
		t.Run(name, func(t *testing.T) {
			fs := app.NewFlags("kms-test", "")
			fs.Secret(new(api.Value), "TAKEN", app.Required, "")
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			fs.Secret(new(api.Value), name, app.Required, "")
		})
	}
}
