package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/hanzoai/kms/internal/app"
)

const aboutServe = `It answers the API servers of a cluster: /pods injects the pods that ask for it,
/workloads warns of what is wrong with what makes them, and never refuses.

On the admin listener are /metrics, /healthz, and /readyz, which is true while
the cluster is known and the API servers trust what is served. All replicas
answer; the one that holds the Lease also keeps the certificates and looks for
pods that run without their secrets.

SIGTERM ends readiness at once; the webhooks serve on for -drain, and then
finish what is under way. A second signal ends everything at once.`

// serveConfig are the flags of serve.
type serveConfig struct {
	settings

	listen, adminListen  string
	namespace, lease     string
	webhookService       string
	webhookConfiguration string
	certificateSecret    string
	certificateDir       string
	secretWarnings       bool
	reportsListen        string
	reportsService       string
	reportsDir           string
	drain                time.Duration
	level                slog.Level
}

func (c *serveConfig) flags(f *app.Flags) {
	f.String(&c.listen, "listen", ":8443", "`ADDRESS` of the webhooks, over TLS")
	f.String(&c.adminListen, "admin-listen", "127.0.0.1:9090", "`ADDRESS` of /metrics, /healthz and /readyz")
	f.String(&c.namespace, "namespace", "", "the injector's own `NAMESPACE`")
	f.String(&c.webhookService, "webhook-service", "kms-injector", "`NAME` of the Service of the webhooks: their certificate is for NAME.NAMESPACE.svc")
	f.String(&c.webhookConfiguration, "webhook-configuration", "kms-injector", "`NAME` of the MutatingWebhookConfiguration and of the ValidatingWebhookConfiguration, whose caBundles are kept")
	f.String(&c.certificateSecret, "certificate-secret", "kms-injector-certificates", "`NAME` of the Secret with the injector's own certificates")
	f.String(&c.certificateDir, "certificate-dir", "", "`DIRECTORY` with the tls.crt, tls.key and ca.crt that somebody else makes: then there are no own ones, and no caBundle is touched")
	f.String(&c.lease, "lease", "kms-injector", "`NAME` of the Lease by which one replica leads")
	f.Bool(&c.secretWarnings, "secret-warnings", true, "warn of Secrets and keys that a pod will wait for; it takes the right to get Secrets, of which only the names of keys are looked at")
	f.String(&c.reportsListen, "reports-listen", "", "`ADDRESS` where agents report how their pods are, over TLS, such as :8444; without it none do")
	f.String(&c.reportsService, "reports-service", "kms-injector-reports", "`NAME` of the Service of that listener: its certificate is for NAME.NAMESPACE.svc")
	f.String(&c.reportsDir, "reports-certificate-dir", "", "`DIRECTORY` with the tls.crt, tls.key and ca.crt of that listener, if somebody else makes them")
	f.Duration(&c.drain, "drain", 5*time.Second, "how long the webhooks serve on after SIGTERM, until nobody is sent here any more")
	f.Level(&c.level, "log-level", slog.LevelInfo, "least `LEVEL` of the log: debug, info, warn or error")
	c.settings.flags(f)
}

func (c *serveConfig) check() (err error) {
	if c.namespace == "" {
		err = errors.New("-namespace: must be the namespace that the injector runs in")
	}
	if c.Rollouts && c.reportsListen == "" {
		err = errors.Join(err, errors.New("-rollouts: needs -reports-listen: rollouts follow the reports of agents"))
	}
	if _, _, wrong := net.SplitHostPort(c.reportsListen); c.reportsListen != "" && wrong != nil {
		err = errors.Join(err, errors.New("-reports-listen: must be HOST:PORT or :PORT"))
	}
	if c.drain < 0 {
		err = errors.Join(err, errors.New("-drain: must not be negative"))
	}
	return err
}

// uninjected are the namespaces whose pods are not injected: the injector is
// not to wait for itself, nor the cluster for the injector.
func (c *serveConfig) uninjected() []string { return []string{c.namespace, metav1.NamespaceSystem} }

func serveWebhooks(ctx context.Context, args []string, stdout io.Writer) error {
	var c serveConfig
	f := app.NewFlags(name+" serve", aboutServe)
	c.flags(f)
	err := f.Parse(args, os.LookupEnv)
	if answer := (*app.Answer)(nil); errors.As(err, &answer) {
		return err
	}
	injection, invalid := c.settings.parse()
	if err = errors.Join(err, c.check(), invalid); err != nil {
		return &badCommand{err}
	}
	log := app.NewLogger(stdout, c.level)
	takeOver(log)
	s, err := newService(c, injection, log)
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	return s.run(ctx)
}

// takeOver gives the libraries of Kubernetes our log: they have one for each
// process.
func takeOver(log *slog.Logger) {
	klog.SetSlogLogger(log)
	ctrllog.SetLogger(logr.FromSlogHandler(log.Handler()))
}
