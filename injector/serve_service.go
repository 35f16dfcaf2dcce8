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
	"github.com/hanzoai/kms/injector/internal/webhook"
	"github.com/hanzoai/kms/internal/app/serve"
)

// service is one replica.
type service struct {
	serveConfig
	log     *slog.Logger
	cluster *cluster.Cluster
	keeper  *certs.Keeper
	leader  *cluster.Leader
	health  *health
	hooks   *hooks
	admin   *serve.Server
}

// newService opens the listeners, and asks the cluster for nothing yet.
func newService(c serveConfig, injection inject.Settings, log *slog.Logger) (*service, error) {
	s := &service{serveConfig: c, log: log}
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
	settings := func() inject.Settings { return injection }
	auditor := cluster.NewAuditor(s.cluster, settings, c.uninjected(), log)
	if s.leader, err = cluster.NewLeader(config, c.namespace, c.lease, log, s.keeper.Rotator(), auditor); err != nil {
		return nil, err
	}
	metrics := webhook.NewMetrics()
	s.health = &health{certificates: s.keeper.Ready}
	return s, s.open(s.webhooks(settings, metrics), newAdmin(s.health, metrics, auditor, s.keeper))
}

// certificates are those that are kept.
func (c *serveConfig) certificates(log *slog.Logger) certs.Config {
	return certs.Config{
		Namespace: c.namespace, Secret: c.certificateSecret, Webhooks: c.webhookConfiguration, Log: log,
		Leaves: []certs.Leaf{{Name: webhooksLeaf, DNSName: c.webhookService + "." + c.namespace + ".svc", Directory: c.certificateDir, Webhooks: true}},
	}
}

const webhooksLeaf = "webhooks"

func (s *service) webhooks(settings func() inject.Settings, metrics *webhook.Metrics) http.Handler {
	lookup := webhook.Lookup{Namespace: s.cluster.Namespace, ConfigMap: s.cluster.ConfigMap}
	if s.secretWarnings {
		lookup.Secret = s.cluster.SecretKeys
	}
	routes := http.NewServeMux()
	routes.Handle("/pods", webhook.NewHandler(settings, lookup, s.log, metrics))
	routes.Handle("/workloads", webhook.NewWorkloads(settings, lookup, s.uninjected(), s.log, metrics))
	return s.health.sendAway(routes)
}

func (s *service) open(webhooks, admin http.Handler) (err error) {
	if s.hooks, err = newHooks(s.serveConfig.listen, webhooks, s.keeper.TLS(webhooksLeaf), s.log); err != nil {
		return err
	}
	if s.admin, err = serve.Listen(serve.Config{Addr: s.adminListen, Handler: admin, Logger: s.log}); err != nil {
		return errors.Join(err, s.hooks.listener.Close())
	}
	s.log.Info("listening", "webhooks", s.hooks.listener.Addr().String(), "admin", s.admin.Addr().String())
	return nil
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
	return together(serving, s.admin.Run, s.cluster.Start, s.keeper.Start, s.answer, s.leader.Start)
}

// answer serves the webhooks as soon as the namespaces are known.
func (s *service) answer(ctx context.Context) error {
	if !s.cluster.Synced(ctx) {
		return s.hooks.listener.Close()
	}
	s.health.started.Store(true)
	return s.hooks.serve(ctx)
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
