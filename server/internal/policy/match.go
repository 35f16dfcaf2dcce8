package policy

import "strings"

// Match reports whether the whole name is of the form of pattern: "*" is any
// run, also an empty one, within one path segment (no '/'); "**" is any run at
// all; everything else is itself. A "/**" that fills a segment also stands for
// no segment, so "/a/**" is /a and everything below, as people expect, and
// "/a/**/db" is also /a/db.
//
// It takes at most len(pattern)*len(name) steps, however many wildcards there
// are, and does not allocate. A "*" never matches the bytes 0 and 1, which no
// name has and Covers uses.
func Match(pattern, name string) bool {
	// Two resume points suffice. Between two wildcards the leftmost place is
	// the best one: whatever follows has the more room. A "**" is tried as a
	// "*" in one segment after the other, so no byte is scanned for it twice.
	p, n := 0, 0
	star, starAt := -1, 0 // the last wildcard: what follows it, where that was tried
	deep, deepAt := -1, 0 // the last "**", likewise, by segment
	for {
		if p == len(pattern) {
			if n == len(name) || p == deep {
				return true
			}
		} else {
			switch kind, width := wildcardAt(pattern, p); {
			case kind == one:
				p += width
				star, starAt = p, n
				continue
			case kind == many, kind == folders && atFolder(name, n):
				p += width
				star, starAt = p, n
				deep, deepAt = p, n
				continue
			case kind == literal && n < len(name) && name[n] == pattern[p]:
				p, n = p+1, n+1
				continue
			}
		}
		switch {
		case star >= 0 && starAt < len(name) && !ends(name[starAt]):
			starAt++
		case deep >= 0:
			for deepAt < len(name) && !ends(name[deepAt]) {
				deepAt++
			}
			if deepAt == len(name) {
				return false
			}
			deepAt++
			star, starAt = deep, deepAt
		default:
			return false
		}
		p, n = star, starAt
	}
}

// kind is what stands at a place of a pattern.
type kind int

const (
	literal kind = iota
	one          // "*"
	many         // "**"
	folders      // "/**" that fills a segment
)

// wildcardAt is the kind of what stands at pattern[p] and its width in bytes.
func wildcardAt(pattern string, p int) (kind, int) {
	switch {
	case pattern[p] == '*' && stars(pattern, p) == 1:
		return one, 1
	case pattern[p] == '*':
		return many, 2
	case pattern[p] == '/' && stars(pattern, p+1) == 2 && (p+3 == len(pattern) || pattern[p+3] == '/'):
		return folders, 3
	}
	return literal, 1
}

// stars counts the '*' at pattern[p] and the byte after it.
func stars(pattern string, p int) int {
	switch {
	case p >= len(pattern) || pattern[p] != '*':
		return 0
	case p+1 == len(pattern) || pattern[p+1] != '*':
		return 1
	}
	return 2
}

// In the outline of a pattern these bytes stand for its wider wildcards.
const (
	outlineMany    = 0 // "**"
	outlineFolders = 1 // "/**" that fills a segment
)

// ends reports whether c is a byte that a "*" cannot pass.
func ends(c byte) bool { return c == '/' || c == outlineMany || c == outlineFolders }

// atFolder reports whether name[:n] is a whole path, or may be in an outline.
func atFolder(name string, n int) bool {
	return n == len(name) || name[n] == '/' || name[n] == outlineFolders
}

// matchPath is Match for paths. The root is the one path whose last segment is
// empty, and "/*", the folders directly below it, must not mean the root too.
func matchPath(pattern, path string) bool {
	if path == "/" {
		return pattern == "/" || allPaths(pattern)
	}
	return Match(pattern, path)
}

func allPaths(pattern string) bool { return pattern == "/**" || pattern == "**" }

// bare reports whether a pattern consists of wildcards alone.
func bare(pattern string) bool { return strings.Trim(pattern, "*") == "" }

// containsPath reports whether every path that inner matches is matched by
// outer. It may say no where yes would be true, never the other way round.
func containsPath(outer, inner string) bool {
	switch {
	case allPaths(outer):
		return true
	case matchPath(inner, "/") && !matchPath(outer, "/"):
		return false
	}
	return Match(outer, outlinePath(inner))
}

// outlinePath turns a pattern into a name that only those patterns match that
// match all that the pattern does: its wildcards become bytes that no literal
// equals, those of "**" and "/**" such that a "*" does not pass them either.
// Slugs and keys have no '/', so their patterns are outlines as they are.
func outlinePath(pattern string) string {
	var outline strings.Builder
	for p := 0; p < len(pattern); {
		kind, width := wildcardAt(pattern, p)
		switch kind {
		case many:
			outline.WriteByte(outlineMany)
		case folders:
			outline.WriteByte(outlineFolders)
		default:
			outline.WriteByte(pattern[p])
		}
		p += width
	}
	return outline.String()
}
