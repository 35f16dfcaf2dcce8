#!/usr/bin/env bash
# All that has to be clean before a merge, beside the tests. Every step runs,
# so that one call says everything; the exit code is 1 if any of them failed.
set -euo pipefail
cd "$(dirname "$0")/.."

failed=()
step() {
	local name=$1
	shift
	echo "check: $name"
	"$@" || failed+=("$name")
}

sources() { find . -name '*.go' -not -path '*/node_modules/*' -not -path './.cache/*' -print0; }

# gofmt exits 0 beside a diff, and 2 where a file does not parse.
formatted() {
	local diff
	diff=$(sources | xargs -0 gofmt -d) && [ -z "$diff" ] && return
	printf '%s\n' "$diff" "run: gofmt -w ."
	return 1
}

modules() {
	go mod verify && go mod tidy -diff && (cd tools && go mod verify && go mod tidy -diff)
}

# Generated files are committed; making them again must change nothing. It
# compares contents, not commits, so that it works on a tree with changes.
contents() {
	git ls-files --cached --others --exclude-standard -z | sort -z |
		while IFS= read -r -d '' file; do
			[ ! -f "$file" ] || sha256sum "$file"
		done
}

generated() {
	local before after
	before=$(contents) && go generate ./... && after=$(contents) || return
	diff <(echo "$before") <(echo "$after") && return
	echo "generated files were stale and have been made again: commit them"
	return 1
}

# Two branches that each add a migration with the next number merge cleanly.
# "0002_x.sqlite.sql" beside "0002_x.postgres.sql" is one migration.
migrations() {
	local twice
	twice=$(find . -path '*/migrations/*.sql' -not -path '*/node_modules/*' |
		sed -E 's#^(.*/[0-9]+)_.*(\.(sqlite|postgres))\.sql$#\1\2#; s#^(.*/[0-9]+)_.*\.sql$#\1#' | sort | uniq -d)
	[ -z "$twice" ] && return
	printf 'two migrations have the number %s\n' "$twice"
	return 1
}

shell_scripts() {
	if ! command -v shellcheck >/dev/null; then
		bash -n .ci/run && for script in scripts/*.sh e2e/cluster/in; do bash -n "$script" || return; done
		return
	fi
	shellcheck .ci/run scripts/*.sh e2e/cluster/in
}

step "format" formatted
step "vet" go vet ./...
step "vet of tests on a node" go vet -tags e2e ./e2e
step "staticcheck" go tool -modfile=tools/go.mod staticcheck ./...
step "modules" modules
step "generated files" generated
step "migration numbers" migrations
step "shell scripts" shell_scripts
step "imports and secrets" go test -count=1 -run 'Import|Secret|AllowFile|Module' .

if [ ${#failed[@]} -gt 0 ]; then
	printf 'check: FAILED: %s\n' "${failed[@]}"
	exit 1
fi
echo "check: ok"
