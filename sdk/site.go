package sdk

import (
	"net/url"
	"strings"

	"github.com/hanzoai/kms/api"
)

// site is the parsed SiteURL: what every path is put after.
type site struct {
	base string // no trailing slash, no "/api"
	err  error
}

// parseSite never quotes its input in an error: it may hold a password.
func parseSite(siteURL string) site {
	if siteURL == "" {
		siteURL = DefaultSiteURL
	}
	u, err := url.Parse(siteURL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return site{err: api.Errorf(api.ErrInvalid, "SiteURL is not of the form https://host[:port]")}
	case u.User != nil:
		return site{err: api.Errorf(api.ErrInvalid, "SiteURL holds a user name or password: remove it, the credentials have fields of their own")}
	case u.RawQuery != "" || u.Fragment != "":
		return site{err: api.Errorf(api.ErrInvalid, "SiteURL holds a query or a fragment: remove it")}
	}
	path := strings.TrimRight(u.EscapedPath(), "/")
	path = strings.TrimRight(strings.TrimSuffix(path, "/api"), "/")
	return site{base: u.Scheme + "://" + u.Host + path}
}

// siteName is the site for people, without what an odd URL may hide in it.
func siteName(siteURL string) string {
	s := parseSite(siteURL)
	if s.err != nil {
		return "an invalid SiteURL"
	}
	return s.base
}

// url is the address of one call; path begins with "/api/".
func (s site) url(path string, query url.Values) string {
	if len(query) == 0 {
		return s.base + path
	}
	return s.base + path + "?" + query.Encode()
}
