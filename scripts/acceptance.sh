#!/usr/bin/env bash
# Other people's clients, unmodified, against the server as it is shipped: the
# Go and Node SDKs on both databases, and the steps of CI workflows. It builds
# kms-server once, gives each suite one of its own, and runs all of them; the
# exit code is 1 if any failed. PostgreSQL is KMS_TEST_POSTGRES, or is started
# for the run.
set -euo pipefail
cd "$(dirname "$0")/.."

# Debian's packages, where a program is missing and we may install it.
missing=()
need() { # PROGRAM PACKAGE...
	command -v "$1" >/dev/null || missing+=("${@:2}")
}
need curl curl ca-certificates
need jq jq
need node nodejs
need npm npm
if [ ${#missing[@]} -gt 0 ]; then
	if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
		echo "acceptance: install ${missing[*]}" >&2
		exit 1
	fi
	apt-get -q update
	DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "${missing[@]}"
fi

bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
chmod 711 "$bin" # PostgreSQL runs as another user
CGO_ENABLED=0 go build -trimpath -o "$bin/kms-server" ./server
go build -o "$bin/" ./acceptance/with-server ./internal/pgtest/with-postgres

failed=()
suite() { # NAME COMMAND...
	echo "acceptance: $1"
	"${@:2}" || failed+=("$1")
}

# A lock file must name no host: whoever installs may use another registry.
lock_file() {
	! grep '"resolved"' acceptance/node/package-lock.json
}
node_packages() {
	(cd acceptance/node && npm ci --no-progress)
}
modules() {
	for module in go workflow; do
		(cd "acceptance/$module" && go mod verify && go mod tidy -diff && go vet ./...) || return
	done
}
on_sqlite() { "$bin/with-server" -server "$bin/kms-server" -engine sqlite -- "$@"; }
on_postgres() { "$bin/with-postgres" -- "$bin/with-server" -server "$bin/kms-server" -engine postgres -- "$@"; }

suite "modules" modules
suite "lock file" lock_file
suite "packages of the Node SDK" node_packages
for engine in sqlite postgres; do
	suite "the Go SDK on $engine" "on_$engine" go -C acceptance/go test -count=1 -v ./...
	suite "the Node SDK on $engine" "on_$engine" npm --prefix acceptance/node test
done
suite "the workflows" on_sqlite go -C acceptance/workflow test -count=1 -v ./...

if [ ${#failed[@]} -gt 0 ]; then
	printf 'acceptance: FAILED: %s\n' "${failed[@]}"
	exit 1
fi
echo "acceptance: ok"
