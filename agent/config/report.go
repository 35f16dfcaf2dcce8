package config

import "crypto/x509"

func (p *problems) report(r Report) {
	if (r == Report{}) {
		return
	}
	p.must(isReportURL(r.URL), "report.url", "must be of the form https://host[:port]/path, without a user name, a query or a fragment")
	p.must(r.CA == "" || x509.NewCertPool().AppendCertsFromPEM([]byte(r.CA)), "report.ca", "must be certificates as PEM")
	p.must(r.TokenFile != "", "report.tokenFile", "is missing: give the file of the token that says who reports")
	p.absolute("report.tokenFile", r.TokenFile)
	p.must(r.URL != "" || r.Splay == "", "report.splay", "goes with url only")
	if r.Splay != "" {
		p.duration("report.splay", r.Splay, "0s", "10m")
	}
}

// isReportURL takes https only: the token goes there.
func isReportURL(address string) bool {
	u, good := parseURL(address, "https")
	return good && u.RawQuery == "" && u.Fragment == ""
}
