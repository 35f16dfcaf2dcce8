package inject

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// The agent sends the credentials of the pod to its server, so whoever writes
// an annotation chooses among the servers that the operator allows. Addresses
// are compared as they were taken apart, and put together anew for the agent:
// then no two readers of a URL can differ about where it leads.

// server is the address for the agent, "" for its own default.
func (p *plan) server() string {
	given := p.given["server"]
	if given.text == "" || given.trust {
		return given.text
	}
	address, good := parseAddress(given.text)
	if !good {
		p.refuse("server", "must be of the form https://host[:port], without a user name, a query or a fragment")
		return ""
	}
	if !p.settings.allows(address) {
		p.refuse("server", "is not an address that the injector allows: leave it out, or ask the operator of the injector to add it")
	}
	return address.String()
}

// CheckServers says which of the addresses that annotations are to be allowed
// can match none.
func CheckServers(servers []string) error {
	var wrong []error
	for _, text := range servers {
		if _, good := parseAddress(text); !good {
			wrong = append(wrong, fmt.Errorf("%.100q is no address of a server: write https://host[:port], or https://*.domain for all hosts below a domain", text))
		}
	}
	return errors.Join(wrong...)
}

type address struct{ scheme, host, port, path string }

func (a address) String() string { return a.scheme + "://" + a.host + a.port + a.path }

// parseAddress reads what can be compared: hosts in small letters, no port
// where it is that of the scheme, no slash at the end. What is unusual is
// refused, since only a plain address is on a list.
func parseAddress(text string) (a address, good bool) {
	u, err := url.Parse(text)
	if err != nil || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.Opaque != "" || strings.ContainsAny(text, "\\@#%") {
		return a, false
	}
	a = address{scheme: u.Scheme, host: strings.ToLower(u.Host), path: strings.TrimRight(u.Path, "/")}
	if port := u.Port(); port != "" {
		a.host, a.port = strings.TrimSuffix(a.host, ":"+port), ":"+port
	}
	if a.port == map[string]string{"https": ":443", "http": ":80"}[a.scheme] {
		a.port = ""
	}
	return a, (a.scheme == "https" || a.scheme == "http") && isHost(a.host) && !strings.Contains(a.path, "..")
}

// isHost takes names, and addresses in their one usual form.
func isHost(host string) bool {
	if ip, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return ip.Zone() == "" && (host == ip.String() || host == "["+ip.String()+"]")
	}
	name := strings.TrimPrefix(host, "*.")
	return name != "" && !strings.HasPrefix(name, ".") && !strings.HasSuffix(name, ".") && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") == ""
}

func (s Settings) allows(chosen address) bool {
	if strings.HasPrefix(chosen.host, "*") {
		return false
	}
	row, _, _ := find("server")
	for _, text := range append([]string{cmp.Or(s.Defaults["server"], row.Default)}, s.Servers...) {
		if allowed, good := parseAddress(text); good && allowed.matches(chosen) {
			return true
		}
	}
	return false
}

func (a address) matches(chosen address) bool {
	if domain, below := strings.CutPrefix(a.host, "*"); below && strings.HasSuffix(chosen.host, domain) {
		_, err := netip.ParseAddr(chosen.host)
		a.host = chosen.host
		return err != nil && a == chosen
	}
	return a == chosen
}
