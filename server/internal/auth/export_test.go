package auth

// What the tests of the package see besides its exported names.

// Count makes f run before each hash that p computes.
func (p *Passwords) Count(f func(memory, time uint32, threads uint8)) {
	key := p.key
	p.key = func(password, salt []byte, time, memory uint32, threads uint8, length uint32) []byte {
		f(memory, time, threads)
		return key(password, salt, time, memory, threads, length)
	}
}

// Replace makes f stand in for argon2id.
func (p *Passwords) Replace(f func()) {
	p.key = func(_, _ []byte, _, _ uint32, _ uint8, length uint32) []byte {
		f()
		return make([]byte, length)
	}
}

// ReparsePHC is the text that a parsed hash writes, and what hashing it costs.
func ReparsePHC(text string) (again string, memory, time uint32, threads uint8, err error) {
	h, err := parsePHC(text)
	return h.String(), h.memory, h.time, h.threads, err
}

// Remembered is how many keys t holds.
func (t *Throttle) Remembered() (keys, order int) { return len(t.attempts), t.recent.Len() }
