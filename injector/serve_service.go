package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/hanzoai/kms/injector/internal/cluster"
	"github.com/hanzoai/kms/injector/internal/inject"
	"github.com/hanzoai/kms/injector/internal/webhook"
	"github.com/hanzoai/kms/internal/app/serve"
)

// service is one replica.
type service struct {
	drain   time.Duration
	log     *slog.Logger
	health  *health
	admin   *serve.Server
	manager manager.Manager
}

func newService(ctx context.Context, c serveConfig, injection inject.Settings, log *slog.Logger) (*service, error) {
	config, err := cluster.Config()
	if err != nil {
		return nil, err
	}
	m, err := cluster.NewManager(config, logr.FromSlogHandler(log.Handler()))
	if err != nil {
		return nil, err
	}
	certificates, err := openCertificates(c)
	if err != nil {
		return nil, err
	}
	lookup, err := newLookup(ctx, c, m)
	if err != nil {
		return nil, err
	}
	settings := func() inject.Settings { return injection }
	auditor := cluster.NewAuditor(m, settings, c.uninjected(), log)
	leader, err := cluster.NewLeader(config, c.namespace, c.lease, log, auditor)
	if err != nil {
		return nil, err
	}
	metrics := webhook.NewMetrics()
	s := &service{drain: c.drain, log: log, manager: m, health: &health{certificates: certificates.ready}}
	routes := http.NewServeMux()
	routes.Handle("/pods", webhook.NewHandler(settings, lookup, log, metrics))
	routes.Handle("/workloads", webhook.NewWorkloads(settings, lookup, c.uninjected(), log, metrics))
	hooks, err := newHooks(c.listen, s.health.sendAway(routes), certificates.tls(c.webhookService+"."+c.namespace+".svc"), log)
	if err != nil {
		return nil, err
	}
	s.admin, err = serve.Listen(serve.Config{Addr: c.adminListen, Handler: newAdmin(s.health, metrics, auditor), Logger: log})
	if err != nil {
		return nil, errors.Join(err, hooks.listener.Close())
	}
	log.Info("listening", "webhooks", hooks.listener.Addr().String(), "admin", s.admin.Addr().String())
	return s, errors.Join(m.Add(leader), m.Add(hooks), m.Add(everywhere(s.health.start)))
}

func newLookup(ctx context.Context, c serveConfig, m manager.Manager) (webhook.Lookup, error) {
	l, err := cluster.NewLookup(ctx, m)
	if err != nil {
		return webhook.Lookup{}, err
	}
	lookup := webhook.Lookup{Namespace: l.Namespace, ConfigMap: l.ConfigMap}
	if c.secretWarnings {
		lookup.Secret = l.SecretKeys
	}
	return lookup, nil
}

// run serves until the context ends and for the drain after that. The admin
// listener is there before the cluster is known, for probes.
func (s *service) run(ctx context.Context) error {
	serving, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	defer context.AfterFunc(ctx, func() {
		s.log.Info("not ready any more, and serving on", "for", s.drain.String())
		s.health.end()
		time.AfterFunc(s.drain, end)
	})()
	admin := make(chan error, 1)
	go func() { defer end(); admin <- s.admin.Run(serving) }()
	err := s.manager.Start(serving)
	end()
	return errors.Join(err, <-admin)
}

// everywhere is what each replica runs once the caches are filled.
type everywhere func(context.Context) error

func (f everywhere) Start(ctx context.Context) error { return f(ctx) }
func (everywhere) NeedLeaderElection() bool          { return false }
