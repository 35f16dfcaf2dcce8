package api

import (
	"strings"
	"unicode/utf8"
)

// Limits of the names and sizes that the API takes.
const (
	MaxSlug        = 64      // bytes of an organisation, project, environment or tag slug
	MaxName        = 64      // characters of a display name
	MaxKey         = 255     // bytes of a secret's key
	MaxFolderName  = 255     // bytes of one folder name
	MaxFolderDepth = 20      // folders below the root of an environment
	MaxPath        = 2048    // bytes of a folder path
	MaxValue       = 1 << 20 // bytes of one secret value
	MaxComment     = 8 << 10 // bytes of one comment
	MaxMetadata    = 32 << 10
	MaxDescription = 1024
	MaxBody        = 2 << 20  // bytes of a request body
	MaxBatchBody   = 16 << 20 // bytes of a batch request body
	MaxFolderKeys  = 10000    // secrets in one folder
	MaxJSONDepth   = 32       // nested arrays and objects in a body
)

// ParseSlug checks the slug of an organisation, project, environment, role or
// tag: 1 to 64 of a-z, 0-9 and '-', not shaped like an id. what names the
// field in the error.
func ParseSlug(what, s string) (string, error) {
	switch {
	case s == "":
		return "", Errorf(ErrInvalid, "%s is missing: give 1 to %d of a-z, 0-9 and '-'", what, MaxSlug)
	case len(s) > MaxSlug:
		return "", Errorf(ErrInvalid, "%s has %d bytes: give at most %d", what, len(s), MaxSlug)
	case IsID(s):
		return "", Errorf(ErrInvalid, "%s is shaped like an id: a slug must not be a UUID", what)
	}
	for i := range len(s) {
		if c := s[i]; !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-') {
			return "", Errorf(ErrInvalid, "%s has a character other than a-z, 0-9 and '-' at byte %d", what, i+1)
		}
	}
	if s[0] == '-' || s[len(s)-1] == '-' {
		return "", Errorf(ErrInvalid, "%s starts or ends with '-'", what)
	}
	return s, nil
}

// IsID reports whether s has the form of an id: a lower-case UUID.
func IsID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f') {
				return false
			}
		}
	}
	return true
}

// ParseName checks a display name: 1 to max characters of UTF-8 without
// control characters, no space around it.
func ParseName(what, s string, max int) (string, error) {
	switch {
	case strings.TrimSpace(s) == "":
		return "", Errorf(ErrInvalid, "%s is missing: give 1 to %d characters", what, max)
	case strings.TrimSpace(s) != s:
		return "", Errorf(ErrInvalid, "%s has white space around it", what)
	}
	return s, parseText(what, s, max)
}

// ParseText checks free text such as a description: at most max characters of
// UTF-8 without control characters; it may be empty.
func ParseText(what, s string, max int) (string, error) { return s, parseText(what, s, max) }

func parseText(what, s string, max int) error {
	switch {
	case !utf8.ValidString(s):
		return Errorf(ErrInvalid, "%s is not UTF-8", what)
	case utf8.RuneCountInString(s) > max:
		return Errorf(ErrInvalid, "%s has %d characters: give at most %d", what, utf8.RuneCountInString(s), max)
	}
	for i, r := range s {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f {
			return Errorf(ErrInvalid, "%s has a control character at byte %d", what, i+1)
		}
	}
	return nil
}

// ParseKey checks the key of a secret: 1 to 255 bytes of printable ASCII
// without space, '/', '\' and ':', and not "." or "..". ASCII alone, so that
// two keys that look the same are the same.
func ParseKey(s string) (string, error) {
	switch {
	case s == "":
		return "", Errorf(ErrInvalid, "the secret's key is missing: give 1 to %d characters", MaxKey)
	case len(s) > MaxKey:
		return "", Errorf(ErrInvalid, "the secret's key has %d bytes: give at most %d", len(s), MaxKey)
	case s == "." || s == "..":
		return "", Errorf(ErrInvalid, "the secret's key must not be %q", s)
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '/' || c == '\\' || c == ':' {
			return "", Errorf(ErrInvalid, "the secret's key has a character that is not allowed at byte %d: give printable ASCII without space, '/', '\\' and ':'", i+1)
		}
	}
	return s, nil
}

// ParseFolderName checks one folder name: 1 to 255 of letters, digits, '-'
// and '_'.
func ParseFolderName(s string) (string, error) {
	switch {
	case s == "":
		return "", Errorf(ErrInvalid, "the folder's name is missing: give letters, digits, '-' and '_'")
	case len(s) > MaxFolderName:
		return "", Errorf(ErrInvalid, "the folder's name has %d bytes: give at most %d", len(s), MaxFolderName)
	}
	for i := range len(s) {
		if c := s[i]; !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return "", Errorf(ErrInvalid, "the folder's name has a character other than letters, digits, '-' and '_' at byte %d", i+1)
		}
	}
	return s, nil
}

// ParsePath checks a folder path and gives it in its one form: "/" for the
// root of an environment (also for ""), "/a/b" otherwise. A missing leading
// slash and one trailing slash are taken; empty, "." and ".." segments are
// not, in any encoding: a path names a folder, it is not a walk.
func ParsePath(s string) (string, error) {
	if len(s) > MaxPath {
		return "", Errorf(ErrInvalid, "the path has %d bytes: give at most %d", len(s), MaxPath)
	}
	s = strings.TrimPrefix(s, "/")
	s = strings.TrimSuffix(s, "/")
	if s == "" {
		return "/", nil
	}
	names := strings.Split(s, "/")
	if len(names) > MaxFolderDepth {
		return "", Errorf(ErrInvalid, "the path is %d folders deep: give at most %d", len(names), MaxFolderDepth)
	}
	for _, name := range names {
		if _, err := ParseFolderName(name); err != nil {
			return "", Errorf(ErrInvalid, "the path is not of the form /folder/folder: %w", err)
		}
	}
	return "/" + s, nil
}

// JoinPath is the path of the folder name below the folder path.
func JoinPath(path, name string) string {
	if path == "/" {
		return "/" + name
	}
	return path + "/" + name
}
