#!/usr/bin/env bash
# The whole product on a real Kubernetes: a node of our own, unless
# KMS_E2E_KUBECONFIG names another cluster that has the images of
# scripts/images.sh; the chart by helm; then the tests of ./e2e, and those of
# the injector that need an API server. It leaves nothing running; with KEEP=1
# the node stays, for go run ./e2e/cluster and e2e/cluster/in.
#
# E2EFLAGS are flags of the test binary, as E2EFLAGS='-test.run Story'.
set -euo pipefail
cd "$(dirname "$0")/.."

began=$SECONDS
step() { echo "e2e: $((SECONDS - began)) s: $*"; }

step "compile the tests"
mkdir -p bin
go test -tags e2e -c -o bin/e2e.test ./e2e
tests=("$PWD/bin/e2e.test" -test.v -test.count=1 -test.parallel=8 -test.timeout=40m)
read -ra more <<<"${E2EFLAGS:-}"

if [ -n "${KMS_E2E_KUBECONFIG:-}" ]; then
	cd e2e
	exec "${tests[@]}" "${more[@]}"
fi

if [ -z "${KEEP:-}" ]; then
	trap 'go run ./e2e/cluster down' EXIT
fi
step "build the images"
scripts/images.sh
step "start the node"
go run ./e2e/cluster up
go run ./e2e/cluster load bin/images/kms.tar bin/images/kms-agent.tar
step "run the tests on the node"
(cd e2e && cluster/in "${tests[@]}" "${more[@]}")
if [[ ${E2EFLAGS:-} != *-test.run* ]]; then
	step "run the tests beside an API server"
	KUBEBUILDER_ASSETS=$(go run ./e2e/cluster build) go test -race -count=1 -p 1 ./injector/... ./charts/...
fi
step "done"
