package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	coordination "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// The usual times of Kubernetes: another replica leads at most 15 s after this
// one is gone without a word, and this one has stopped 5 s before that.
const (
	leaseDuration = 15 * time.Second
	renewDeadline = 10 * time.Second
	retryPeriod   = 2 * time.Second
)

// Leader runs in every replica, and its tasks in one of them. A replica that
// loses the Lease stops the tasks and stands for election again; everything
// else in it goes on.
type Leader struct {
	lock  resourcelock.Interface
	log   *slog.Logger
	tasks []manager.Runnable
}

// NewLeader makes one for the Lease of that name.
func NewLeader(c *rest.Config, namespace, lease string, log *slog.Logger, tasks ...manager.Runnable) (*Leader, error) {
	client, err := coordination.NewForConfig(c)
	if err != nil {
		return nil, fmt.Errorf("prepare for the election of a leader: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("prepare for the election of a leader: %w", err)
	}
	return &Leader{log: log, tasks: tasks, lock: &resourcelock.LeaseLock{
		LeaseMeta:  metav1.ObjectMeta{Namespace: namespace, Name: lease},
		Client:     client,
		LockConfig: resourcelock.ResourceLockConfig{Identity: host + "_" + string(uuid.NewUUID())},
	}}, nil
}

// Start stands for election until the context ends.
func (l *Leader) Start(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := l.term(ctx); err != nil {
			return fmt.Errorf("stand for election by Lease %s: %w", l.lock.Describe(), err)
		}
	}
	return nil
}

// term lasts from one candidacy to the loss of the Lease, or to the end of the
// context. The Lease is given back only after the tasks have stopped.
func (l *Leader) term(ctx context.Context) error {
	started, ended := make(chan context.Context, 1), make(chan struct{})
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: l.lock, LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: retryPeriod, ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(leading context.Context) { started <- leading },
			OnStoppedLeading: func() {},
		},
	})
	if err != nil {
		return err
	}
	election, leave := context.WithCancel(context.WithoutCancel(ctx))
	go func() { defer close(ended); elector.Run(election) }()
	defer func() { leave(); <-ended }()
	select {
	case leading := <-started:
		l.lead(ctx, leading)
	case <-ctx.Done():
	}
	return nil
}

// lead runs the tasks until one of the contexts ends.
func (l *Leader) lead(ctx, leading context.Context) {
	l.log.Info("this replica leads")
	defer l.log.Info("this replica does not lead any more")
	both, cancel := context.WithCancel(leading)
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	var running sync.WaitGroup
	for _, task := range l.tasks {
		running.Go(func() { l.keep(both, task) })
	}
	<-both.Done()
	running.Wait()
}

// keep runs one task again when it fails: the others do not fail with it.
func (l *Leader) keep(ctx context.Context, task manager.Runnable) {
	for ctx.Err() == nil {
		if err := task.Start(ctx); err != nil && ctx.Err() == nil {
			l.log.Error("a task of the leader failed and begins again", "task", fmt.Sprintf("%T", task), "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryPeriod):
		}
	}
}
