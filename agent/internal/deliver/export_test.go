package deliver

// WithStep is for tests: step is called after each change on disk.
func WithStep(d Dir, step func(what string)) Dir {
	d.step = step
	return d
}

// ReadPID is for tests: a bad id must be tried without a signal behind it,
// since one that is let through could reach every process of the machine.
var ReadPID = readPID
