package deliver

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/hanzoai/kms/agent/config"
	"github.com/hanzoai/kms/api"
)

const (
	reportTimeout = 5 * time.Second // of one try
	reportTries   = 4
)

// What comes of a report.
const (
	reportSent    = "sent"
	reportRefused = "refused" // the answer says that another try would be no better
	reportDropped = "dropped" // nobody was there to take it
)

var reportResults = []string{reportSent, reportRefused, reportDropped}

// reporter tells a listener how the agent stands, each time that has changed.
// It holds nobody up, and whether a report arrives changes nothing. While
// nothing changes there is neither a goroutine nor a timer of it.
type reporter struct {
	running context.Context // the agent's life
	parts   *sync.WaitGroup
	config  config.Report
	client  *http.Client
	status  *Status
	trouble trouble  // of the one goroutine that sends
	told    standing // its: what was taken last

	mu      sync.Mutex // guards what follows
	noted   standing   // the newest
	sending bool
}

// newReporter makes one that reports until running ends; nil where nobody is
// to be told.
func newReporter(running context.Context, parts *sync.WaitGroup, c config.Report, status *Status, log *slog.Logger) *reporter {
	if c.URL == "" {
		return nil
	}
	return &reporter{running: running, parts: parts, config: c, client: reportClient(c.CA), status: status, trouble: trouble{what: "report", log: log}}
}

// reportClient follows no redirect, uses no proxy and keeps no connection: the
// next change may be a day away.
func reportClient(ca string) *http.Client {
	secure := &tls.Config{}
	if ca != "" {
		secure.RootCAs = x509.NewCertPool()
		secure.RootCAs.AppendCertsFromPEM([]byte(ca))
	}
	return &http.Client{
		Timeout:       reportTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:            (&net.Dialer{}).DialContext,
			TLSClientConfig:        secure,
			DisableKeepAlives:      true,
			DisableCompression:     true,
			MaxResponseHeaderBytes: 16 << 10,
		},
	}
}

// note looks whether the agent stands differently from before, and has that
// reported. It belongs to the agent's goroutine.
func (r *reporter) note() {
	if r == nil {
		return
	}
	now := r.status.standing()
	r.mu.Lock()
	defer r.mu.Unlock()
	if now == r.noted || now.reason == "" {
		return
	}
	r.noted = now
	if !r.sending {
		r.sending = true
		r.parts.Go(r.send)
	}
}

// send reports until nothing new was noted meanwhile.
func (r *reporter) send() {
	for {
		if splay := config.Duration(r.config.Splay); splay > 0 && sleep(r.running, rand.N(splay)) != nil {
			return
		}
		told := r.report()
		if r.running.Err() != nil || r.done(told) {
			return
		}
	}
}

// done ends the sending if told is the newest.
func (r *reporter) done(told standing) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sending = r.noted != told
	return !r.sending
}

// report sends what is newest, and tries again a few times. It gives what it
// sent last.
func (r *reporter) report() (told standing) {
	for try := 1; ; try++ {
		told = r.newest()
		if told == r.told { // it was otherwise for a moment
			return told
		}
		again, err := r.post(told)
		switch {
		case r.running.Err() != nil:
			return told
		case err == nil:
			r.told = told
			r.trouble.over()
			r.status.reported(reportSent)
			return told
		}
		pause := r.trouble.retry(err, notifyBackoff)
		switch {
		case !again:
			r.status.reported(reportRefused)
			return told
		case try == reportTries:
			r.status.reported(reportDropped)
			return told
		case sleep(r.running, pause) != nil:
			return told
		}
	}
}

func (r *reporter) newest() standing {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.noted
}

// post sends one report. again says whether another try may help.
func (r *reporter) post(s standing) (again bool, err error) {
	token, err := readCredential("report.tokenFile", r.config.TokenFile)
	if err != nil {
		return true, err // the volume may be there in a moment
	}
	body, err := json.Marshal(struct {
		Reason   Reason `json:"reason"`
		Revision uint64 `json:"revision"`
		Age      int64  `json:"age"` // seconds
		Change   bool   `json:"change"`
	}{s.reason, s.revision, int64(r.status.age() / time.Second), s.change})
	if err != nil {
		return false, err
	}
	request, err := http.NewRequestWithContext(r.running, http.MethodPost, r.config.URL, bytes.NewReader(body))
	if err != nil {
		return false, badConfig("report.url cannot be read")
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "kms-agent")
	answer, err := r.client.Do(request)
	if err != nil {
		return true, unanswered(err)
	}
	defer answer.Body.Close()
	io.Copy(io.Discard, io.LimitReader(answer.Body, 4<<10))
	return isPassing(answer.StatusCode), refusal(answer)
}

// isPassing reports whether another try may get another answer.
func isPassing(status int) bool { return status == http.StatusTooManyRequests || status >= 500 }

// refusal is the error of an answer; nil of one that is none. Its text stays
// out: it is another program's.
func refusal(answer *http.Response) error {
	if answer.StatusCode >= 200 && answer.StatusCode < 300 {
		return nil
	}
	// A date is not read: it would have to be compared with this machine's clock.
	seconds, _ := strconv.ParseUint(answer.Header.Get("Retry-After"), 10, 16)
	return &api.Error{StatusCode: answer.StatusCode, Message: "the report was not accepted", RetryAfter: time.Duration(seconds) * time.Second}
}

// unanswered says why there is no answer. The whole error would hold the
// address, and perhaps what was sent.
func unanswered(err error) error {
	var network *net.OpError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &network):
		err = network
	case errors.As(err, &certificate):
		err = certificate
	case errors.Is(err, context.DeadlineExceeded):
		err = context.DeadlineExceeded
	default:
		err = errors.New("there was no answer in HTTP")
	}
	return api.Errorf(api.ErrUnavailable, "report: %w", err)
}
