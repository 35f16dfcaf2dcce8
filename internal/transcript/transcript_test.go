package transcript_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/hanzoai/kms/internal/transcript"
)

// The race detector says the rest.
func TestATranscriptIsReadWhileItIsWritten(t *testing.T) {
	var log transcript.Transcript
	var writers sync.WaitGroup
	for range 4 {
		writers.Go(func() {
			for range 100 {
				fmt.Fprintln(&log, "a line")
			}
		})
	}
	for range 100 {
		if text := log.String(); strings.Trim(text, "a line\n") != "" {
			t.Fatalf("it holds %q", text)
		}
	}
	writers.Wait()
	if got := strings.Count(log.String(), "a line\n"); got != 400 {
		t.Errorf("%d lines, want 400", got)
	}
}
