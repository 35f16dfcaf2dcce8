#!/usr/bin/env bash
# Both images from their Dockerfiles, without a registry, as archives in
# bin/images: for "go run ./e2e/cluster load", docker load, or podman load.
# IMAGE and TAG are their names: localhost/kms and e2e, with -agent behind the
# name of the second. VERSION is what the programs call themselves, and GOARCH
# what they run on.
#
# The builder's base is made here, of a shell and the authorities of this
# machine; its Go and Go's caches are mounted, so that only what has changed is
# compiled, and the build needs no network. Such images are for tests. For
# others let the Dockerfiles use the bases that they name:
#
#   docker buildx build --platform linux/amd64,linux/arm64 -f Dockerfile.server .
set -euo pipefail
cd "$(dirname "$0")/.."

image=${IMAGE:-localhost/kms}
tag=${TAG:-e2e}
version=${VERSION:-$(git describe --tags --always --dirty 2>/dev/null || echo dev)}
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
timestamp=$(git log -1 --format=%ct 2>/dev/null || echo 0) # the same sources make the same image
authorities=/etc/ssl/certs/ca-certificates.crt
agent_limit=10000000 # bytes: every node pulls it

missing=()
command -v buildah >/dev/null || missing+=(buildah)
command -v busybox >/dev/null || missing+=(busybox-static)
[ -f "$authorities" ] || missing+=(ca-certificates)
if [ ${#missing[@]} -gt 0 ]; then
	if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
		echo "images: install ${missing[*]}" >&2
		exit 1
	fi
	apt-get -q update
	DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends "${missing[@]}"
fi

# All of buildah's state is in one folder, which goes when this ends.
work=$(mktemp -d "${TMPDIR:-/tmp}/hanzo-kms-images.XXXXXX")
trap 'rm -rf "$work"' EXIT
export TMPDIR=$work
buildah=(buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs)
isolation=(--isolation chroot) # the one kind that works within a container, too

make_builder() {
	local container
	container=$("${buildah[@]}" from scratch)
	mkdir -m 1777 "$work/tmp"
	"${buildah[@]}" copy -q "$container" "$(command -v busybox)" /bin/sh
	"${buildah[@]}" copy -q "$container" "$authorities" /etc/ssl/certs/ca-certificates.crt
	"${buildah[@]}" copy -q --chmod 1777 "$container" "$work/tmp" /tmp
	"${buildah[@]}" config --env PATH=/usr/local/go/bin:/bin --env GOTOOLCHAIN=local \
		--env GOPROXY=off --env GOFLAGS=-mod=readonly "$container"
	"${buildah[@]}" commit -q --rm "$container" localhost/builder >/dev/null
}

build() { # ARCHIVE DOCKERFILE IMAGE
	local archive=bin/images/$1.tar log=$work/$1.log
	echo "images: $2"
	"${buildah[@]}" build "${isolation[@]}" --file "$2" --tag "$3" --timestamp "$timestamp" \
		--platform "linux/$(go env GOARCH)" --build-arg BUILDPLATFORM="linux/$(go env GOHOSTARCH)" \
		--build-arg BUILDER=localhost/builder \
		--build-arg VERSION="$version" --build-arg REVISION="$revision" \
		--volume "$(go env GOROOT):/usr/local/go:ro" \
		--volume "$(go env GOMODCACHE):/cache/modules" --volume "$(go env GOCACHE):/cache/build" \
		. >"$log" 2>&1 || { cat "$log" >&2; return 1; }
	"${buildah[@]}" push -q "$3" "docker-archive:$work/$1.tar:$3"
	mv "$work/$1.tar" "$archive"
}

go list -deps ./server ./agent ./injector >/dev/null # downloads what is missing
mkdir -p bin/images
make_builder
build kms Dockerfile.server "$image:$tag"
build kms-agent Dockerfile.agent "$image-agent:$tag"

# The layers in these archives are not compressed.
for name in kms kms-agent; do
	printf 'images: bin/images/%s.tar: %s, %s MB unpacked\n' "$name" "$image${name#kms}:$tag" \
		"$(stat -c %s "bin/images/$name.tar" | awk '{ printf "%.1f", $1 / 1e6 }')"
done
if [ "$(stat -c %s bin/images/kms-agent.tar)" -gt $agent_limit ]; then
	echo "images: the agent's is more than $agent_limit bytes" >&2
	exit 1
fi
