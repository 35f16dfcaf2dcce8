// Package transcript keeps what a program has written, for tests and
// measurements that read it while the program still runs.
package transcript

// SPDX-License-Identifier: Apache-2.0

import (
	"bytes"
	"sync"
)

// Transcript is all that was written to it so far. It may be written and read
// at once; the zero value is empty.
type Transcript struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

// Write adds to it.
func (t *Transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.Write(p)
}

// String is all of it.
func (t *Transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}
