package tell

// ParsePID is for tests: a bad id must be tried without a signal behind it,
// since one that is let through could reach every process of the machine.
var ParsePID = parsePID

// SendAll is for tests: a program ends between the look for it and the signal.
var SendAll = sendAll
