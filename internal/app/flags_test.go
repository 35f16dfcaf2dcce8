package app_test

import (
	"errors"
	"flag"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hanzoai/kms/internal/app"
)

type config struct {
	Listen  string
	Dev     bool
	Workers int
	Timeout time.Duration
	Trusted []string
	Level   slog.Level
}

func newFlags(cfg *config) *app.Flags {
	fs := app.NewFlags("kms-test", "kms-test tries the flags.")
	fs.String(&cfg.Listen, "listen", ":8080", "address of the API listener")
	fs.Bool(&cfg.Dev, "dev", false, "throw-away instance")
	fs.Int(&cfg.Workers, "workers", 4, "workers")
	fs.Duration(&cfg.Timeout, "read-timeout", 30*time.Second, "time to read a request")
	fs.StringList(&cfg.Trusted, "trusted-proxies", nil, "networks of trusted proxies")
	fs.Level(&cfg.Level, "log-level", slog.LevelInfo, "least level of the log")
	return fs
}

func environ(vars map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := vars[name]
		return value, ok
	}
}

var defaults = config{Listen: ":8080", Workers: 4, Timeout: 30 * time.Second}

func TestAFlagWinsOverTheEnvironmentAndThatOverTheDefault(t *testing.T) {
	with := func(change func(*config)) config {
		cfg := defaults
		change(&cfg)
		return cfg
	}
	tests := []struct {
		name string
		args []string
		env  map[string]string
		want config
	}{
		{name: "nothing is set", want: defaults},
		{name: "the environment is set", env: map[string]string{
			"KMS_LISTEN": ":1", "KMS_DEV": "true", "KMS_WORKERS": "8",
			"KMS_READ_TIMEOUT": "2m", "KMS_TRUSTED_PROXIES": "10.0.0.0/8, ::1/128", "KMS_LOG_LEVEL": "debug",
		}, want: config{":1", true, 8, 2 * time.Minute, []string{"10.0.0.0/8", "::1/128"}, slog.LevelDebug}},
		{name: "both are set",
			args: []string{"-listen", ":2", "-dev=false", "--workers=2"},
			env:  map[string]string{"KMS_LISTEN": ":1", "KMS_DEV": "true", "KMS_WORKERS": "8"},
			want: with(func(c *config) { c.Listen, c.Workers = ":2", 2 })},
		{name: "a wrong variable does not matter under a flag",
			args: []string{"-workers=2"}, env: map[string]string{"KMS_WORKERS": "many"},
			want: with(func(c *config) { c.Workers = 2 })},
		{name: "an empty variable counts as not set",
			env: map[string]string{"KMS_LISTEN": "", "KMS_WORKERS": ""}, want: defaults},
		{name: "a flag sets a text to empty",
			args: []string{"-listen="}, env: map[string]string{"KMS_LISTEN": ":1"},
			want: with(func(c *config) { c.Listen = "" })},
		{name: "a flag empties a list",
			args: []string{"-trusted-proxies="}, env: map[string]string{"KMS_TRUSTED_PROXIES": "::1/128"}, want: defaults},
		{name: "the last of two holds", args: []string{"-listen=:1", "-listen=:2"},
			want: with(func(c *config) { c.Listen = ":2" })},
		{name: "a value begins with a dash", args: []string{"-workers", "-1"},
			want: with(func(c *config) { c.Workers = -1 })},
		{name: "a lone terminator ends the flags", args: []string{"-dev", "--"},
			want: with(func(c *config) { c.Dev = true })},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got config
			if err := newFlags(&got).Parse(tt.args, environ(tt.env)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestEachProblemIsOneLineThatSaysWhatWouldBeRight(t *testing.T) {
	tests := []struct {
		name string
		args []string
		env  map[string]string
		want []string
	}{
		{"a mistyped flag with its value", []string{"-lsten", ":80", "-dev"}, nil,
			[]string{"-lsten is not a flag: did you mean -listen?"}},
		{"a flag like no other", []string{"-xyz=1"}, nil,
			[]string{"-xyz is not a flag: see kms-test -h"}},
		{"a secret with a dash before it", []string{"-S3cr3t/xyz=="}, nil,
			[]string{"an argument starts with '-' and is no flag of kms-test: see kms-test -h"}},
		{"a key in hexadecimal with a dash before it", []string{"-c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00c0ffee00"}, nil,
			[]string{"an argument starts with '-' and is no flag of kms-test: see kms-test -h"}},
		{"a flag at the end without its value", []string{"-dev", "-listen"}, nil,
			[]string{"-listen: the value is missing: give it as -listen=STRING"}},
		{"an argument that is no flag", []string{"-dev", "false", "-workers", "2"}, nil,
			[]string{"argument 2 is not a flag: kms-test takes flags only, and a flag is switched off as -name=false"}},
		{"an argument after the terminator", []string{"--", "x"}, nil,
			[]string{"argument 2 is not a flag: kms-test takes flags only, and a flag is switched off as -name=false"}},
		{"wrong values from both sides", []string{"-workers=many", "-dev=perhaps", "-read-timeout", "30"},
			map[string]string{"KMS_TRUSTED_PROXIES": "a,,b", "KMS_LOG_LEVEL": "loud", "KMS_WORKERS": "none"},
			[]string{
				`-workers: "many" is not a whole number, such as 10`,
				`-dev: "perhaps" is neither true nor false`,
				`-read-timeout: "30" is not a duration: give a number and a unit, such as 500ms, 30s or 5m`,
				`KMS_TRUSTED_PROXIES: "a,,b" has an empty element: give elements separated by single commas, such as a,b`,
				`KMS_LOG_LEVEL: "loud" is not a level: give debug, info, warn or error`,
			}},
		{"a level that only slog knows", []string{"-log-level=info+2"}, nil,
			[]string{`-log-level: "info+2" is not a level: give debug, info, warn or error`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := newFlags(new(config)).Parse(tt.args, environ(tt.env))
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(tt.want, strings.Split(err.Error(), "\n")); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			var coded interface{ ExitCode() int }
			if !errors.As(errors.Join(err, io.EOF), &coded) || coded.ExitCode() != 2 {
				t.Error("the error has not exit code 2")
			}
		})
	}
}

func TestTheNearestFlagIsSuggestedAndTheFirstOfTwo(t *testing.T) {
	fs := app.NewFlags("kms-test", "")
	for _, name := range []string{"release", "lease", "least"} {
		fs.String(new(string), name, "", "")
	}
	for mistyped, want := range map[string]string{
		"-leasee": "-leasee is not a flag: did you mean -lease?",
		"-leas":   "-leas is not a flag: did you mean -lease?",
		"-leastt": "-leastt is not a flag: did you mean -least?",
		"-l":      "-l is not a flag: see kms-test -h",
	} {
		if err := fs.Parse([]string{mistyped}, environ(nil)); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestArgumentsAreTakenWhereTheyAreAllowed(t *testing.T) {
	tests := []struct {
		args string
		want []string
	}{
		{"-dev", nil},
		{"-dev run -listen x", []string{"run", "-listen", "x"}},
		{"-dev -- -listen x", []string{"-listen", "x"}},
		{"- -dev", []string{"-", "-dev"}},
	}
	for _, tt := range tests {
		var rest []string
		fs := newFlags(new(config))
		fs.Rest(&rest, "COMMAND [ARG...]")
		if err := fs.Parse(strings.Fields(tt.args), environ(nil)); err != nil {
			t.Errorf("%q: %v", tt.args, err)
		}
		if diff := cmp.Diff(tt.want, rest); diff != "" {
			t.Errorf("%q: -want +got:\n%s", tt.args, diff)
		}
	}
}

func TestHelpIsTheManual(t *testing.T) {
	for _, arg := range []string{"-h", "--help"} {
		fs := newFlags(new(config))
		err := fs.Parse([]string{"-workers=many", arg}, environ(map[string]string{"KMS_DEV": "perhaps"}))
		var answer *app.Answer
		if !errors.As(err, &answer) {
			t.Fatalf("%s: got %v, want an answer", arg, err)
		}
		for _, want := range []string{
			"usage: kms-test [flags]\n",
			"kms-test tries the flags.",
			"  -listen string\n        address of the API listener\n        (default \":8080\", environment KMS_LISTEN)\n",
			"  -dev\n        throw-away instance\n        (default false, environment KMS_DEV)\n",
			"(default 30s, environment KMS_READ_TIMEOUT)",
			"(default none, environment KMS_TRUSTED_PROXIES)",
			"(default info, environment KMS_LOG_LEVEL)",
		} {
			if !strings.Contains(answer.Text, want) {
				t.Errorf("%s: no %q in:\n%s", arg, want, answer.Text)
			}
		}
	}
}

func TestVersionIsAFlag(t *testing.T) {
	err := newFlags(new(config)).Parse([]string{"-version"}, environ(nil))
	var answer *app.Answer
	if !errors.As(err, &answer) || answer.Text != "kms-test "+app.VersionString()+"\n" {
		t.Errorf("got %v", err)
	}
}

func TestADefinitionThatCannotWorkPanics(t *testing.T) {
	tests := []struct{ name, why string }{
		{"port", "may be set by Kubernetes"},
		{"port-8080-tcp", "may be set by Kubernetes"},
		{"agent-port", "may be set by Kubernetes"},
		{"service-host", "may be set by Kubernetes"},
		{"service-account", "may be set by Kubernetes"},
		{"agent-service-host", "may be set by Kubernetes"},
		{"", "a name is of"},
		{"Listen", "a name is of"},
		{"log_level", "a name is of"},
		{"-x", "a name is of"},
		{"listen", "defined twice"},
		{"help", "defined twice"},
		{"version", "defined twice"},
		{"report", ""}, // has port in it, and is fine
		{"transport", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			defer func() {
				text, _ := recover().(string)
				if (text != "") != (tt.why != "") || !strings.Contains(text, tt.why) {
					t.Errorf("got %q, want %q", text, tt.why)
				}
			}()
			newFlags(new(config)).String(new(string), tt.name, "", "")
		})
	}
}

// FuzzParse holds the syntax to that of the standard flag package: the same
// command lines are right, and mean the same.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "-listen :80", "--listen=:80", "-dev", "-dev=0 x", "-workers 0x10", "-workers=many", "-read-timeout 5m",
		"-trusted-proxies a,b", "-trusted-proxies a,,b", "-- -dev", "- -dev", "---dev", "-=x", "--=x", "-listen", "-dev -workers -1 rest",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		args := strings.Split(line, " ")
		var got, want config
		var rest []string
		fs := newFlags(&got)
		fs.Rest(&rest, "ARG...")
		err := fs.Parse(args, environ(nil))
		var answer *app.Answer
		if errors.As(err, &answer) {
			return // asked for anywhere, it is given; the standard package first looks for mistakes
		}
		std := standardFlags(&want)
		stdErr := std.Parse(args)
		if (err == nil) != (stdErr == nil) {
			t.Fatalf("%q: got error %v, standard flag has %v", args, err, stdErr)
		}
		if err != nil {
			return
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: -standard +got:\n%s", args, diff)
		}
		if !slices.Equal(rest, std.Args()) {
			t.Errorf("%q: rest %q, standard %q", args, rest, std.Args())
		}
	})
}

func standardFlags(cfg *config) *flag.FlagSet {
	*cfg = defaults
	std := flag.NewFlagSet("kms-test", flag.ContinueOnError)
	std.SetOutput(io.Discard)
	std.StringVar(&cfg.Listen, "listen", ":8080", "")
	std.BoolVar(&cfg.Dev, "dev", false, "")
	std.IntVar(&cfg.Workers, "workers", 4, "")
	std.DurationVar(&cfg.Timeout, "read-timeout", 30*time.Second, "")
	std.Func("trusted-proxies", "", func(s string) error {
		cfg.Trusted = nil
		if strings.TrimSpace(s) == "" {
			return nil
		}
		for element := range strings.SplitSeq(s, ",") {
			element = strings.TrimSpace(element)
			if element == "" {
				return errors.New("empty")
			}
			cfg.Trusted = append(cfg.Trusted, element)
		}
		return nil
	})
	std.Func("log-level", "", func(s string) error {
		if !slices.Contains([]string{"debug", "info", "warn", "error"}, strings.ToLower(s)) {
			return errors.New("unknown")
		}
		return cfg.Level.UnmarshalText([]byte(s))
	})
	return std
}
