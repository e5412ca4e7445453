# make run    build and start turnhub on its built-in defaults; prints the URL to open
# make test   everything: lint, Go tests with the race detector, client, browsers, fuzzing, network lab
# Other targets stand below, each with its line. On Debian, as root, what is missing is installed.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.PHONY: run generate build test lint lint-go lint-js unit client-test browser-test fuzz-short fuzz netlab netlab-test heal fast vuln bench soak deb deb-lint deb-test release clean

GO ?= go
VERSION ?= $(shell systemd/version)
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.1.4
FUZZTIME ?= 10m
heading = @printf '\n==== %s ====\n' '$(1)'

run: build
	@exec bin/turnhub serve

# The server is built without it as well, and then serves the pages file by file.
generate: ## bundles and compressed forms of the pages, in internal/assets/made
	@$(GO) generate ./internal/assets

build: generate ## static binary at bin/turnhub
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/turnhub ./cmd/turnhub

test:
	@e2e/tools.sh $$(e2e/netlab/possible >/dev/null 2>&1 && echo lab || echo test)
	@$(MAKE) --no-print-directory lint unit client-test browser-test fuzz-short netlab-test

lint: e2e/node_modules/.ready web/client/node_modules/.ready ## gofmt, go vet, staticcheck, tsc --checkJs
	@$(MAKE) --no-print-directory -j2 -Otarget lint-go lint-js

lint-go:
	$(call heading,lint: gofmt)
	@unformatted=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); \
	  if [ -n "$$unformatted" ]; then echo "run gofmt -w on:" $$unformatted; exit 1; fi
	$(call heading,lint: go vet)
	@$(GO) vet ./...
	$(call heading,lint: staticcheck)
	@$(GO) run $(STATICCHECK) ./...

lint-js:
	$(call heading,lint: tsc --checkJs)
	@cd web/client && npm run --silent check

# Those of e2e run other programs, which the cache of test results knows nothing of, and mostly wait for them.
unit: build ## Go tests with the race detector
	$(call heading,Go tests with the race detector)
	@$(GO) test -race -timeout 8m $$($(GO) list ./... | grep -v '^turnhub/e2e')
	@$(GO) test -race -timeout 8m -count=1 -parallel 6 ./e2e/...
	@cd deploy/schema && $(GO) test ./...

client-test: web/client/node_modules/.ready ## the JavaScript client in Node
	$(call heading,client tests)
	@cd web/client && npm test --silent

browser-test: build e2e/node_modules/.ready ## two Chromium pages through the real binary
	$(call heading,browser tests)
	@cd e2e && npm test --silent

# Counted, not timed: a fuzzer that its time ends on a busy machine sometimes calls that a failure.
fuzz-short: ## every fuzz target for a few thousand inputs
	$(call heading,fuzzing for a short while)
	@$(MAKE) --no-print-directory fuzz FUZZTIME=5000x

fuzz: ## every fuzz target for FUZZTIME
	@grep -rn --include='*_test.go' -oE '^func Fuzz[A-Za-z0-9_]+' . | \
	  while IFS=: read -r file _ name; do \
	    name=$${name#func }; package=$$(dirname $$file); \
	    echo "$$package $$name"; \
	    $(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) $$package; \
	  done

netlab: build e2e/node_modules/.ready ## calls between every two kinds of network
	@e2e/tools.sh lab
	@e2e/netlab/possible
	@cd e2e && npm run --silent netlab

heal: build e2e/node_modules/.ready ## running calls broken in every way (HEAL=REGEX: some); a table of how long each took to heal
	@e2e/tools.sh lab
	@e2e/netlab/possible
	@cd e2e && npm run --silent heal

netlab-test: build e2e/node_modules/.ready
	$(call heading,network lab)
	@if e2e/netlab/possible; then cd e2e && npm run --silent netlab; \
	  else echo '######## NETWORK LAB SKIPPED: it needs root, nftables and network namespaces (see the line above) ########'; fi

fast: build e2e/node_modules/.ready ## time and round trips to the first picture: 100 ms away, and beside a plain page over pion
	@e2e/tools.sh lab
	@e2e/netlab/possible
	@cd e2e && npm run --silent fast

vuln: ## known vulnerabilities in what is built in; asks vuln.go.dev and the npm registry
	@$(GO) run $(GOVULNCHECK) ./...
	@cd e2e && npm audit --omit=dev
	@cd web/client && npm audit

bench: build ## side by side with coturn
	$(GO) run ./bench

soak: build ## the attacks of e2e/stayup_test.go in full, the table of narrow lines, then load for half an hour, watching memory
	E2E_LONG=1 $(GO) test -count=1 -timeout 60m -run TestStayUp ./e2e
	E2E_LONG=1 $(GO) test -count=1 -timeout 10m -run TestNarrowLine -v ./e2e
	$(GO) run ./bench soak

deb: generate ## Debian packages for amd64 and arm64 in dist/, in place of those before
	@rm -f dist/turnhub_*.deb
	@systemd/package deb $(VERSION)

deb-test: ## install, run, reload, upgrade, remove and purge the package under a booted systemd
	@e2e/tools.sh deb
	@TURNHUB_DEB_TEST=1 $(GO) test -count=1 -timeout 10m -run TestDebianPackage -v ./e2e/deb

deb-lint: deb ## lintian's opinion of the package
	@e2e/tools.sh lintian
	@lintian --fail-on error,warning --tag-display-limit 0 dist/turnhub_*_amd64.deb

release: generate ## static archives for amd64 and arm64 with checksums in dist/
	@systemd/package archive $(VERSION)

clean:
	rm -rf bin dist e2e/out bench/out e2e/node_modules web/client/node_modules

%/node_modules/.ready: %/package-lock.json
	@e2e/tools.sh lint
	@cd $* && npm ci --no-audit --no-fund --silent
	@touch $@
