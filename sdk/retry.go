package sdk

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	firstWait     = 200 * time.Millisecond
	longestWait   = 10 * time.Second
	maxRetryAfter = time.Minute // a server or proxy that asks for more is not obeyed
)

// retryWait is the pause after the given try, counted from 0: a random part of
// a bound that doubles, so that clients that failed together do not come back
// together. Where the server asked for a wait, it is that much at least.
func retryWait(try int, asked time.Duration) time.Duration {
	bound := longestWait
	if try < 6 {
		bound = min(bound, firstWait<<try)
	}
	return min(asked, maxRetryAfter) + rand.N(bound)
}

// pause waits, or ends at once with the context's error.
func pause(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
