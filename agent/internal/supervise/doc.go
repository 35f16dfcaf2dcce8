// Package supervise runs one command and stands between it and the outside, as
// the first process of a container or anywhere else: it forwards signals, reaps
// orphans, hands the terminal over, and restarts the command with another
// environment. Whoever started this process should not notice the difference.
//
// It holds the environment of the command and never shows a value of it, in no
// log and in no error. It never starts the command again once somebody outside
// has told it to end, and never while processes of the run before are left in
// its process group.
//
// While Run runs, it alone waits for processes: anything else in this process
// that starts one, such as os/exec, may find it reaped already. It should be
// the only one to take signals, too.
//
// The Go runtime sets two limits. Signals 32 to 34 and SIGPROF are its own and
// cannot be forwarded. Of those that were ignored when this process started, as
// under nohup, only SIGHUP and SIGINT are ignored in the command as well.
package supervise

// SPDX-License-Identifier: Apache-2.0
