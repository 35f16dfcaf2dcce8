#!/bin/sh
# An application beside the agent: it reads its secrets from files, and reads
# them again on SIGHUP.
#
#	app.sh DIR PIDFILE
#
# It prints one line for each reading: how many secrets there are, and which
# changed, by a fingerprint. It never prints a value. Its set has one file per
# key, and secrets.sh, the same in the format "shell".

if [ $# -ne 2 ]; then
	echo "usage: app.sh DIR PIDFILE" >&2
	exit 2
fi
dir=$1 pid_file=$2

# load reads all secrets of one generation into variables. Resolving ..data
# once is what keeps two generations from being mixed. The file is read before
# any of it is run, so that one that cannot be read changes nothing.
load() {
	generation=$(readlink -f "$dir/..data") || return
	text=$(cat "$generation/secrets.sh") || return
	fresh=$(fingerprints "$generation") || return
	report
	known=$fresh
	eval "$text"
}

fingerprints() {
	cd "$1" || return
	for key in *; do
		[ "$key" != secrets.sh ] || continue
		sum=$(sha256sum <"$key") || return
		printf ' %s=%.8s' "$key" "$sum"
	done
}

report() {
	count=0 changed=
	for pair in $fresh; do
		count=$((count + 1))
		case "$known " in
		" " | *" $pair "*) ;;
		*) changed="$changed${changed:+ }$pair" ;;
		esac
	done
	echo "read $count secrets; changed: $changed"
}

# First the traps, then the pid file: a SIGHUP that finds no trap ends a
# process.
known='' reload=yes
trap 'reload=yes; kill -KILL $! 2>/dev/null' HUP
trap 'exit 0' INT TERM
trap 'kill -KILL $! 2>/dev/null; rm -f "$pid_file"' EXIT
echo $$ >"$pid_file"

# A trap runs between two commands, and cuts "wait" short, but no other
# command. Between the test of the flag and "wait" it would be too late for
# both, and the signal lost. So what is waited for, $!, is started before the
# test, and the trap ends it: then "wait" has nothing to wait for. It has to be
# KILL, which works before a new process has forgotten the traps of this one.
while :; do
	sleep 3600 >/dev/null 2>&1 &
	if [ $reload = yes ]; then
		reload=no
		load || echo "keeping what I have" >&2
	fi
	wait $! 2>/dev/null
done
