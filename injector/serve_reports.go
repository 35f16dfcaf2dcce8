package main

import (
	"net"
	"os"

	"github.com/hanzoai/kms/injector/internal/certs"
	"github.com/hanzoai/kms/injector/internal/inject"
	"github.com/hanzoai/kms/injector/internal/reports"
)

const reportsLeaf = "reports"

// reportsCertificate is what agents know the listener of reports by.
func (c *serveConfig) reportsCertificate() certs.Leaf {
	return certs.Leaf{Name: reportsLeaf, DNSName: c.reportsService + "." + c.namespace + ".svc", Directory: c.reportsDir}
}

// openReports opens the listener of reports: one of its own, so that what
// floods it does not reach the webhooks.
func (s *service) openReports(metrics *reports.Metrics) (err error) {
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	handler := reports.NewHandler(reports.Options{Client: s.cluster, Rollouts: s.Rollouts, Instance: host, Log: s.log, Metrics: metrics})
	s.reports, err = s.openTLS(s.reportsListen, reportsLeaf, handler)
	return err
}

// settings are what holds now: the authorities of the listener of reports are
// exchanged from time to time.
func (s *service) settings() inject.Settings {
	now := s.injection
	if s.reports != nil {
		now.Reports = &inject.ReportSettings{URL: s.reportsURL(), CA: s.keeper.CA(reportsLeaf)}
	}
	return now
}

// reportsURL is where agents send reports. The Service has the listener's port.
func (s *service) reportsURL() string {
	_, port, _ := net.SplitHostPort(s.reports.Addr().String())
	return "https://" + net.JoinHostPort(s.reportsCertificate().DNSName, port) + reports.Path
}
