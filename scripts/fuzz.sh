#!/usr/bin/env bash
# Runs every fuzz test of the module, one after the other, each for FUZZTIME
# (60s). It stops at the first finding, which "go test" keeps in testdata/fuzz.
set -euo pipefail
cd "$(dirname "$0")/.."

# "go test -list" prints the names of a package, then a line "ok PACKAGE".
targets=$(go test -list '^Fuzz' ./... |
	awk '/^Fuzz/ { names[++n] = $1 } $1 == "ok" { for (i = 1; i <= n; i++) print $2, names[i]; n = 0 }')
if [ -z "$targets" ]; then
	echo "fuzz: there is no fuzz test" >&2
	exit 1
fi

while read -r package name; do
	echo "fuzz: $name in $package"
	go test -run '^$' -fuzz "^$name\$" -fuzztime "${FUZZTIME:-60s}" "$package" </dev/null
done <<<"$targets"
echo "fuzz: ok"
