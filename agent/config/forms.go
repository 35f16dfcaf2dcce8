package config

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const (
	letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits  = "0123456789"
)

const keyForm = `1 to 255 printable ASCII characters without space, '/', '\' and ':', and not "." or ".."`

// isKey is the server's rule for the key of a secret, so that a slip shows
// before the first call. Names in the set keep to it too.
func isKey(key string) bool {
	outside := func(c rune) bool { return c <= ' ' || c > '~' || strings.ContainsRune(`/\:`, c) }
	return key != "" && len(key) <= 255 && key != "." && key != ".." && !strings.ContainsFunc(key, outside)
}

// isPath is the server's rule for a folder.
func isPath(path string) bool {
	trimmed := strings.TrimSuffix(strings.TrimPrefix(path, "/"), "/")
	if trimmed == "" {
		return path == "/"
	}
	for name := range strings.SplitSeq(trimmed, "/") {
		if name == "" || len(name) > 255 || strings.Trim(name, letters+digits+"-_") != "" {
			return false
		}
	}
	return true
}

const fileName = `must be the name of a file in the directory: no '/', not ".", and not beginning with ".."`

// IsFileName reports whether a file of that name can lie in the directory of a
// set: it is one path element, and not one of those that begin with "..",
// which the layout of the set is made of.
func IsFileName(name string) bool {
	return name != "" && name != "." && len(name) <= 255 && !strings.HasPrefix(name, "..") && !strings.ContainsAny(name, "/\x00")
}

// isMode keeps the files from being written by others or run by anybody.
func isMode(mode string) bool {
	bits, err := strconv.ParseUint(mode, 8, 32)
	return err == nil && bits&^0o644 == 0 && bits&0o400 != 0
}

func isServer(address string) bool {
	u, good := parseURL(address, "https", "http")
	return good && u.RawQuery == "" && u.Fragment == ""
}

func isProxy(address string) bool {
	u, good := parseURL(address, "http", "https")
	return good && strings.Trim(u.Path, "/") == "" && u.RawQuery == "" && u.Fragment == ""
}

// isLocal keeps a notification on this host: what it tells is nobody else's
// business, and a name could be made to lead elsewhere.
func isLocal(address string) bool {
	u, good := parseURL(address, "http", "https")
	host := u.Hostname()
	ip, _ := netip.ParseAddr(host)
	return good && (host == "localhost" || ip.Is4() && ip.IsLoopback() || ip == netip.IPv6Loopback())
}

// parseURL gives an empty URL for one that is not good. User names are refused
// since a password would come with them.
func parseURL(address string, schemes ...string) (u url.URL, good bool) {
	parsed, err := url.Parse(address)
	if err != nil || !slices.Contains(schemes, parsed.Scheme) || parsed.Hostname() == "" || parsed.User != nil {
		return url.URL{}, false
	}
	return *parsed, parsed.Port() == "" || isPort(parsed.Port())
}

func isListen(address string) bool {
	_, port, err := net.SplitHostPort(address)
	return err == nil && isPort(port)
}

func isPort(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}
