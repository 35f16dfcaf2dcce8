# What a person types. "make" alone lists it.

VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
FUZZTIME  ?= 60s
TESTFLAGS ?=
LDFLAGS    = -s -w -X github.com/hanzoai/kms/internal/app.Version=$(VERSION)
TOOL       = go tool -modfile=tools/go.mod

# One binary for each main there is: server -> bin/kms-server; cli -> bin/kms.
BINARIES = $(patsubst %/main.go,bin/kms-%,$(wildcard $(addsuffix /main.go,server agent injector controller))) \
           $(patsubst %/main.go,bin/kms,$(wildcard cli/main.go))

.PHONY: help build images test check demo demo-keep acceptance fuzz bench e2e cluster-up cluster-down vuln generate clean FORCE

help: ## print this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: $(BINARIES) ## the binaries, static, into bin/

bin/kms-%: FORCE
	CGO_ENABLED=0 go build -trimpath -ldflags "$(LDFLAGS)" -o $@ ./$*

bin/kms: FORCE
	CGO_ENABLED=0 go build -trimpath -ldflags "$(LDFLAGS)" -o $@ ./cli

images: ## both images, as archives in bin/images, by buildah and without a registry
	VERSION=$(VERSION) scripts/images.sh

test: ## all tests, with -race, beside a PostgreSQL of their own (TESTFLAGS='-run Name -v')
	go run ./internal/pgtest/with-postgres -- go test -race $(TESTFLAGS) ./...

check: ## format, vet, staticcheck, modules, generated files, migrations, secrets in the tree
	scripts/check.sh

demo: ## the main job on this machine, start to end
	go run ./demo

demo-keep: ## the same, and leave it running
	go run ./demo -keep

acceptance: ## the unmodified client SDKs and workflow steps against our server
	scripts/acceptance.sh

fuzz: ## every fuzz test in turn, FUZZTIME (60s) each
	FUZZTIME=$(FUZZTIME) scripts/fuzz.sh

bench: ## the table of measurements
	go run ./bench

e2e: ## the whole on a real Kubernetes; root, 10 min, and 8-17 more the first time
	scripts/e2e.sh

cluster-up: ## a Kubernetes of one node for tests, built from source; root, 8-17 min at first
	go run ./e2e/cluster up

cluster-down: ## end it and remove its state
	go run ./e2e/cluster down

vuln: ## known vulnerabilities in what we use; reads vuln.go.dev
	$(TOOL) govulncheck ./...

generate: ## make the generated files again
	go generate ./...

clean: ## remove bin/
	rm -rf bin
