package format_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"

	"go.yaml.in/yaml/v3"
)

// program is a reader outside this process.
type program struct {
	name      string
	installed func() bool
	read      func(t *testing.T, text []byte) (map[string]string, error)
}

var jq = program{"jq", found("jq"), func(t *testing.T, text []byte) (map[string]string, error) {
	return runReader(text, "jq", "-r", `to_entries[] | if .value | type == "string" then (.key | @base64) + " " + (.value | @base64) else error("no string") end`)
}}

var python = program{"Python", runs("python3", "-c", "import yaml"), func(t *testing.T, text []byte) (map[string]string, error) {
	return runReader(text, "python3", "-c", `
import base64, sys, yaml
for key, value in yaml.safe_load(sys.stdin.buffer).items():
    print(base64.b64encode(key.encode()).decode(), base64.b64encode(value.encode()).decode())`)
}}

// A Java that has a compiler in it runs a source file.
var java = program{"Java", runs("java", "--describe-module", "jdk.compiler"), func(t *testing.T, text []byte) (map[string]string, error) {
	return runReader(text, "java", "-XX:TieredStopAtLevel=1", "testdata/ReadProperties.java")
}}

func found(name string) func() bool {
	return func() bool {
		_, err := exec.LookPath(name)
		return err == nil
	}
}

func runs(name string, args ...string) func() bool {
	return func() bool { return exec.Command(name, args...).Run() == nil }
}

// runReader takes from the program a line for each entry: key and value in
// base64.
func runReader(text []byte, name string, args ...string) (map[string]string, error) {
	command := exec.Command(name, args...)
	command.Stdin, command.Stderr = bytes.NewReader(text), os.Stderr
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", name, err)
	}
	entries := map[string]string{}
	for line := range strings.Lines(string(output)) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		keyBytes, keyErr := base64.StdEncoding.DecodeString(key)
		valueBytes, valueErr := base64.StdEncoding.DecodeString(value)
		if err := errors.Join(keyErr, valueErr); err != nil {
			return nil, fmt.Errorf("output of %s: %w", name, err)
		}
		entries[string(keyBytes)] = string(valueBytes)
	}
	return entries, nil
}

// shells source the file after a first command and print what a program that
// they start has in its environment.
func shells(first string) (programs []program) {
	for _, name := range []string{"sh", "bash", "dash", "ksh", "mksh", "zsh", "busybox"} {
		programs = append(programs, program{name, found(name), func(t *testing.T, text []byte) (map[string]string, error) {
			return sourceFile(t, text, name, first)
		}})
	}
	return programs
}

func sourceFile(t *testing.T, text []byte, shell, first string) (map[string]string, error) {
	file := filepath.Join(t.TempDir(), "secrets")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return nil, err
	}
	command := exec.Command(shell, "-c", first+`; . "$1"; exec env -0`, "sh", file)
	if shell == "busybox" {
		command.Args = append([]string{shell, "sh"}, command.Args[1:]...)
	}
	command.Env, command.Stderr = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8"}, os.Stderr
	output, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("run %s: %w", shell, err)
	}
	entries, err := readEnvironment(string(output))
	maps.DeleteFunc(entries, func(key, _ string) bool { return !strings.HasPrefix(key, "KEY_") })
	return entries, err
}

func readEnvironment(text string) (map[string]string, error) {
	entries := map[string]string{}
	for variable := range strings.SplitSeq(text, "\x00") {
		key, value, _ := strings.Cut(variable, "=")
		entries[key] = value
	}
	return entries, nil
}

func readJSON(text string) (entries map[string]string, err error) {
	return entries, json.Unmarshal([]byte(text), &entries)
}

// readYAML leaves the types of keys and values to the parser.
func readYAML(text string) (map[string]string, error) {
	var mapping map[any]any
	if err := yaml.Unmarshal([]byte(text), &mapping); err != nil {
		return nil, err
	}
	entries := map[string]string{}
	for key, value := range mapping {
		k, keyOK := key.(string)
		v, valueOK := value.(string)
		if !keyOK || !valueOK {
			return nil, fmt.Errorf("%v: %v is a %T: %T", key, value, key, value)
		}
		entries[k] = v
	}
	return entries, nil
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*\z`)

// readVariables reads KEY=value lines, with or without export, as a shell
// does.
func readVariables(text string) (map[string]string, error) {
	entries := map[string]string{}
	for text != "" {
		key, rest, _ := strings.Cut(strings.TrimPrefix(text, "export "), "=")
		if !variableName.MatchString(key) {
			return nil, fmt.Errorf("no name of a variable: %q", key)
		}
		value, rest, err := readWord(rest)
		if err != nil {
			return nil, err
		}
		entries[key], text = value, rest
	}
	return entries, nil
}

// readWord reads a value up to the end of its line.
func readWord(s string) (value, rest string, err error) {
	var word strings.Builder
	quote := byte(0)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quote == 0 && c == '\n':
			return word.String(), s[i+1:], nil
		case quote == 0 && (c == '\'' || c == '"'):
			quote = c
		case c == quote && quote != 0:
			quote = 0
		case quote == 0 && strings.HasPrefix(s[i:], `\'`),
			quote == '"' && c == '\\' && i+1 < len(s) && strings.IndexByte("\\\"$`", s[i+1]) >= 0:
			i++
			word.WriteByte(s[i])
		case quote == '"' && (c == '$' || c == '`'), quote == 0 && strings.IndexByte(" \t\r;&|<>()$`\\#*?~!", c) >= 0:
			return "", "", errors.New("an expansion")
		default:
			word.WriteByte(c)
		}
	}
	return "", "", errors.New("no end")
}

// readProperties follows the documentation of java.util.Properties.load, but
// knows neither comments nor continued lines: there must be none.
func readProperties(text string) (map[string]string, error) {
	entries := map[string]string{}
	for text != "" {
		if strings.IndexByte("#!", text[0]) >= 0 {
			return nil, errors.New("a comment")
		}
		key, rest, err := readProperty(text, " \t\f=:\n")
		if err != nil {
			return nil, err
		}
		rest = strings.TrimLeft(rest, " \t\f")
		if rest != "" && strings.IndexByte("=:", rest[0]) >= 0 {
			rest = strings.TrimLeft(rest[1:], " \t\f")
		}
		value, rest, err := readProperty(rest, "\n\r")
		if err != nil {
			return nil, err
		}
		entries[key], text = value, rest[1:]
	}
	return entries, nil
}

// readProperty reads Latin-1 up to one of the ends, which may be escaped.
func readProperty(s, ends string) (word, rest string, err error) {
	var units []uint16
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case strings.IndexByte(ends, c) >= 0:
			return string(utf16.Decode(units)), s[i:], nil
		case strings.HasPrefix(s[i:], `\u`) && i+6 <= len(s):
			unit, err := strconv.ParseUint(s[i+2:i+6], 16, 16)
			if err != nil {
				return "", "", err
			}
			units, i = append(units, uint16(unit)), i+5
		case c == '\\' && i+1 < len(s) && s[i+1] != '\n':
			i++
			units = append(units, uint16(unescapeProperty(s[i])))
		default:
			units = append(units, uint16(c))
		}
	}
	return "", "", errors.New("no end")
}

func unescapeProperty(c byte) byte {
	if i := strings.IndexByte("tnrf", c); i >= 0 {
		return "\t\n\r\f"[i]
	}
	return c
}
