package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/hanzoai/kms/injector/internal/certs"
	"github.com/hanzoai/kms/injector/internal/cluster"
	"github.com/hanzoai/kms/injector/internal/inject"
	"github.com/hanzoai/kms/injector/internal/reports"
	"github.com/hanzoai/kms/injector/internal/webhook"
	"github.com/hanzoai/kms/internal/app/serve"
)

// service is one replica.
type service struct {
	serveConfig
	injection inject.Settings
	log       *slog.Logger
	cluster   *cluster.Cluster
	keeper    *certs.Keeper
	leader    *cluster.Leader
	health    *health
	hooks     *serve.Server
	reports   *serve.Server // nil without
	admin     *serve.Server
}

// newService opens the listeners, and asks the cluster for nothing yet.
func newService(c serveConfig, injection inject.Settings, log *slog.Logger) (*service, error) {
	s := &service{serveConfig: c, injection: injection, log: log}
	config, err := cluster.Config()
	if err != nil {
		return nil, err
	}
	if s.cluster, err = cluster.New(config); err != nil {
		return nil, err
	}
	if s.keeper, err = certs.New(config, c.certificates(log)); err != nil {
		return nil, err
	}
	auditor := cluster.NewAuditor(s.cluster, s.settings, c.uninjected(), log)
	if s.leader, err = cluster.NewLeader(config, c.namespace, c.lease, log, s.keeper.Rotator(), auditor); err != nil {
		return nil, err
	}
	s.health = &health{certificates: s.keeper.Ready}
	metrics, reported := webhook.NewMetrics(), reports.NewMetrics()
	admin := newAdmin(s.health, metrics, auditor, s.keeper, reported)
	return s, s.open(s.webhooks(metrics), admin, reported)
}

// certificates are those that are kept.
func (c *serveConfig) certificates(log *slog.Logger) certs.Config {
	leaves := []certs.Leaf{{Name: webhooksLeaf, DNSName: c.webhookService + "." + c.namespace + ".svc", Directory: c.certificateDir, Webhooks: true}}
	if c.reportsListen != "" {
		leaves = append(leaves, c.reportsCertificate())
	}
	return certs.Config{Namespace: c.namespace, Secret: c.certificateSecret, Webhooks: c.webhookConfiguration, Leaves: leaves, Log: log}
}

const webhooksLeaf = "webhooks"

func (s *service) webhooks(metrics *webhook.Metrics) http.Handler {
	lookup := webhook.Lookup{Namespace: s.cluster.Namespace, ConfigMap: s.cluster.ConfigMap}
	if s.secretWarnings {
		lookup.Secret = s.cluster.SecretKeys
	}
	routes := http.NewServeMux()
	routes.Handle("/pods", webhook.NewHandler(s.settings, lookup, s.log, metrics))
	routes.Handle("/workloads", webhook.NewWorkloads(s.settings, lookup, s.uninjected(), s.log, metrics))
	return s.health.sendAway(routes)
}

// open opens all listeners, so that a wrong address is an error at the start.
func (s *service) open(webhooks, admin http.Handler, reported *reports.Metrics) (err error) {
	if s.hooks, err = s.openTLS(s.listen, webhooksLeaf, webhooks); err != nil {
		return err
	}
	if s.reportsListen != "" {
		if err = s.openReports(reported); err != nil {
			return err
		}
		s.log.Info("listening", "reports", s.reports.Addr().String())
	}
	if s.admin, err = serve.Listen(serve.Config{Addr: s.adminListen, Handler: admin, Logger: s.log}); err != nil {
		return err
	}
	s.log.Info("listening", "webhooks", s.hooks.Addr().String(), "admin", s.admin.Addr().String())
	return nil
}

// openTLS is a listener that serves by a leaf that is kept. An API server waits
// 5 s for an answer: what takes longer is of no use.
func (s *service) openTLS(address, leaf string, handler http.Handler) (*serve.Server, error) {
	const longest = 10 * time.Second
	return serve.Listen(serve.Config{Addr: address, TLS: s.keeper.TLS(leaf), Handler: handler, Logger: s.log, ReadTimeout: longest, WriteTimeout: longest, Grace: longest})
}

// run serves until the context ends, and for the drain after that.
func (s *service) run(ctx context.Context) error {
	serving, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	defer context.AfterFunc(ctx, func() {
		s.log.Info("not ready any more, and serving on", "for", s.drain.String())
		s.health.ending.Store(true)
		time.AfterFunc(s.drain, end)
	})()
	parts := []func(context.Context) error{s.admin.Run, s.cluster.Start, s.keeper.Start, s.answer, s.leader.Start}
	if s.reports != nil {
		parts = append(parts, s.reports.Run)
	}
	return together(serving, parts...)
}

// answer serves the webhooks as soon as the namespaces are known.
func (s *service) answer(ctx context.Context) error {
	if !s.cluster.Synced(ctx) {
		return s.hooks.Close()
	}
	s.health.started.Store(true)
	return s.hooks.Run(ctx)
}

// together runs the parts until the context ends, or one of them does.
func together(ctx context.Context, parts ...func(context.Context) error) (err error) {
	ctx, end := context.WithCancel(ctx)
	defer end()
	ended := make(chan error)
	for _, part := range parts {
		go func() {
			err := part(ctx)
			end()
			ended <- err
		}()
	}
	for range parts {
		err = errors.Join(err, <-ended)
	}
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}
