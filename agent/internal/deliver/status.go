package deliver

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Status is how the agent is doing, for probes, metrics and people. It holds
// no value, and decides nothing.
type Status struct {
	mu          sync.Mutex // guards what follows
	started     time.Time
	lastSuccess time.Time // zero before the first
	lastChange  time.Time
	generation  string
	files       int
	bytes       int
	inPlace     bool   // what this configuration asks for lies in the directory
	stale       bool   // that is the fallback
	replacement string // the newest generation that took the place of another
	refused     bool   // by the server, the last time it was asked
	reason      Reason
	problem     string // of the last refresh; "" when it worked
	polls       map[string]int64
	failures    map[Reason]int64
	renders     int64
	told        map[string]int64
	untold      map[string]int64
	waiting     map[string]string // targets that could not be told yet, and why
	reports     map[string]int64
}

func newStatus() *Status {
	return &Status{started: time.Now(), polls: map[string]int64{}, failures: map[Reason]int64{},
		told: map[string]int64{}, untold: map[string]int64{}, waiting: map[string]string{}, reports: map[string]int64{}}
}

// found notes what an agent before this one has left in place.
func (s *Status) found(known state) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.generation, s.inPlace, s.stale = known.Generation, known.Generation != "", known.Stale
}

// fellBack notes that the fallback is in place.
func (s *Status) fellBack() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inPlace, s.stale = true, true
}

// replaced notes that a generation took the place of another.
func (s *Status) replaced(generation string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replacement = generation
}

func (s *Status) rendered() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.renders++
}

func (s *Status) wrote(written Written, files []File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.generation, s.files, s.bytes = written.Generation, written.Files, 0
	for _, f := range files {
		s.bytes += len(f.Data)
	}
	s.inPlace, s.stale = len(files) > 0, false
	if written.Changed {
		s.lastChange = time.Now()
	}
}

func (s *Status) succeeded(changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastSuccess = time.Now()
	s.refused, s.reason, s.problem, s.inPlace, s.stale = false, "", "", true, false
	if changed {
		s.polls["changed"]++
	} else {
		s.polls["unchanged"]++
	}
}

func (s *Status) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reason, s.problem = ReasonOf(err), err.Error()
	s.refused = isRefusal(err)
	s.polls["failed"]++
	s.failures[s.reason]++
}

func (s *Status) reported(result string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reports[result]++
}

// standing is how the agent stands, as far as it is reported.
type standing struct {
	reason   Reason // "" until something is known
	revision uint64
	change   bool // this revision took the place of another
}

func (s *Status) standing() standing {
	s.mu.Lock()
	defer s.mu.Unlock()
	return standing{s.word(), number(s.generation), s.generation != "" && s.generation == s.replacement}
}

// word is how the agent stands in one word. The lock is held.
func (s *Status) word() Reason {
	switch {
	case s.stale && (s.reason == "" || s.reason == Unreachable):
		return StaleFallback
	case s.reason == "" && !s.lastSuccess.IsZero():
		return Synced
	}
	return s.reason
}

// age is how long ago the server last confirmed what is in place; counted from
// the start where it never did.
func (s *Status) age() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(later(s.started, s.lastSuccess))
}

func (s *Status) notified(target string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.untold[target]++
		s.waiting[target] = err.Error()
		return
	}
	s.told[target]++
	delete(s.waiting, target)
}

// ready says why the agent is not ready; "" when it is.
func (s *Status) ready() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.refused:
		return string(s.reason) + ": " + s.problem
	case !s.inPlace && s.problem != "":
		return string(s.reason) + ": " + s.problem
	case !s.inPlace:
		return "the secrets are not there yet"
	}
	return ""
}

func (s *Status) log(log *slog.Logger) {
	notReady := s.ready()
	s.mu.Lock()
	defer s.mu.Unlock()
	log.Info("status", "ready", notReady == "", "notReady", notReady, "generation", s.generation, "files", s.files, "bytes", s.bytes,
		"sinceSuccess", since(s.lastSuccess), "sinceChange", since(s.lastChange), "reason", string(s.word()), "err", s.problem,
		"unchanged", s.polls["unchanged"], "changed", s.polls["changed"], "failed", s.polls["failed"],
		"waiting", strings.Join(slices.Sorted(maps.Keys(s.waiting)), ", "))
}

func since(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return time.Since(t).Round(time.Second).String()
}

// writeMetrics writes the status in the text format of Prometheus. The format
// is a few lines, and its client library would be a third of the binary.
func (s *Status) writeMetrics(w io.Writer) {
	ready := s.ready() == ""
	s.mu.Lock()
	defer s.mu.Unlock()
	m := metrics{w}
	m.gauge("start_time_seconds", "When this agent started, in Unix time.", unixTime(s.started))
	m.gauge("last_success_timestamp_seconds", "When the server last confirmed that the files are up to date, in Unix time; 0 is never.", unixTime(s.lastSuccess))
	m.gauge("last_change_timestamp_seconds", "When the files last changed, in Unix time; 0 is never.", unixTime(s.lastChange))
	m.gauge("age_seconds", "How long ago the server last confirmed that the files are up to date; counted from the start where it never did.", time.Since(later(s.started, s.lastSuccess)).Seconds())
	m.gauge("revision", "The number of the generation that lies in the directory.", float64(number(s.generation)))
	m.gauge("files", "Files of the set.", float64(s.files))
	m.gauge("bytes", "Bytes of all files of the set.", float64(s.bytes))
	m.gauge("ready", "1 when all files are in place and the access is not revoked.", float64(bit(ready)))
	m.family("state", "gauge", "1 for how the agent stands: Synced, StaleFallback, or the reason of its last failure.")
	for _, reason := range append([]Reason{Synced, StaleFallback}, allReasons...) {
		m.line("state", float64(bit(reason == s.word())), "reason", string(reason))
	}
	m.gauge("notifications_waiting", "Targets that could not be notified so far.", float64(len(s.waiting)))
	m.family("polls_total", "counter", "Questions to the server, by what came of them.")
	for _, result := range []string{"unchanged", "changed", "failed"} {
		m.line("polls_total", float64(s.polls[result]), "result", result)
	}
	m.family("failures_total", "counter", "Refreshes that failed, by reason.")
	for _, reason := range allReasons {
		m.line("failures_total", float64(s.failures[reason]), "reason", string(reason))
	}
	m.family("renders_total", "counter", "How often the files were rendered.")
	m.line("renders_total", float64(s.renders))
	m.family("notifications_total", "counter", "Notifications, by target and outcome.")
	for _, target := range slices.Sorted(maps.Keys(s.told)) {
		m.line("notifications_total", float64(s.told[target]), "target", target, "outcome", "success")
	}
	for _, target := range slices.Sorted(maps.Keys(s.untold)) {
		m.line("notifications_total", float64(s.untold[target]), "target", target, "outcome", "failure")
	}
	m.family("reports_total", "counter", "Reports of how the agent stands, by what came of them.")
	for _, result := range reportResults {
		m.line("reports_total", float64(s.reports[result]), "result", result)
	}
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

func unixTime(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

type metrics struct{ w io.Writer }

func (m metrics) family(name, kind, help string) {
	fmt.Fprintf(m.w, "# HELP kms_agent_%s %s\n# TYPE kms_agent_%s %s\n", name, help, name, kind)
}

func (m metrics) gauge(name, help string, value float64) {
	m.family(name, "gauge", help)
	m.line(name, value)
}

// line writes a sample; labels are names and values in turn.
func (m metrics) line(name string, value float64, labels ...string) {
	var list []string
	for i := 0; i+1 < len(labels); i += 2 {
		list = append(list, labels[i]+`="`+strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(labels[i+1])+`"`)
	}
	set := ""
	if len(list) > 0 {
		set = "{" + strings.Join(list, ",") + "}"
	}
	fmt.Fprintf(m.w, "kms_agent_%s%s %g\n", name, set, value)
}
