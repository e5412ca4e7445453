# make run    build and start turnhub on its built-in defaults; prints the URL to open
# make test   everything: lint, client, Go tests with the race detector, browsers, network lab
# make unit   what of it is quick
# Other targets stand below, each with its line. On Debian, as root, what is missing is installed.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.PHONY: run generate icons screenshots generate-kernel build test lint lint-go lint-js unit package-test race-test whole-test pages-test client-test browser-test slow fuzz netlab netlab-test heal narrow browsers fast vuln bench soak drivers debian12 stacks deb deb-lint deb-test release clean

GO ?= go
VERSION ?= $(shell systemd/version)
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.1.4
FUZZTIME ?= 10m
CHURN ?= 10m
PAIRS ?= chromium-chromium chromium-firefox firefox-chromium firefox-firefox
export TEST_BEGAN := $(or $(TEST_BEGAN),$(shell date +%s))
heading = @printf '\n==== %s (%d s after the start) ====\n' '$(1)' $$(($$(date +%s) - TEST_BEGAN))

run: build
	@exec bin/turnhub serve

# The server is built without it as well, and then serves the pages file by file.
generate: ## bundles and compressed forms of the pages, in internal/assets/made
	@$(GO) generate ./internal/assets

icons: ## the PNG icons of the page, in web/static; needs Chromium
	node e2e/icons.mjs

screenshots: build e2e/node_modules/.ready ## the pictures of the README, in docs; needs Chromium
	@cd e2e && node screenshots.mjs

generate-kernel: ## the program for the kernel, in turnsrv/internal/kernel/program; needs clang, llvm and libbpf-dev
	@$(GO) generate ./turnsrv/internal/kernel

build: generate ## static binary at bin/turnhub
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/turnhub ./cmd/turnhub

test:
	@e2e/tools.sh $$(e2e/netlab/possible >/dev/null 2>&1 && echo lab || echo test)
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory -j2 -Otarget client-test race-test
	@$(MAKE) --no-print-directory whole-test pages-test

unit: lint ## what is quick: lint, the packages' tests without the race detector, the client in Node
	@$(MAKE) --no-print-directory -j2 -Otarget package-test client-test

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

package-test: build
	$(call heading,Go tests of the packages)
	@$(GO) test -timeout 8m $$($(GO) list ./... | grep -v '^turnhub/e2e')

# More packages at a time than processors: most of their time they wait.
race-test: build ## Go tests of the packages with the race detector
	$(call heading,Go tests with the race detector)
	@$(GO) test -race -p 4 -timeout 8m $$($(GO) list ./... | grep -v '^turnhub/e2e')

slow: build ## Go tests of the packages as a machine at a fifth of its speed runs them: what takes its speed for granted
	@$(GO) test -race -count=1 -p 6 -timeout 60m -exec $(CURDIR)/e2e/slowly $$($(GO) list ./... | grep -v '^turnhub/e2e')

# They run the binary and other programs, in which the race detector sees nothing and of which the cache of test results
# knows nothing, and mostly wait for them.
whole-test: build ## the binary against other people's programs
	$(call heading,Go tests of the binary)
	@$(GO) test -timeout 8m -count=1 -parallel 6 ./e2e/...
	@cd deploy/schema && $(GO) test ./...

# One after the other: side by side the lab's eighteen browsers and those of the tests starve each other on two
# processors, and everything times out. What hangs is ended, so that its output is seen.
pages-test:
	@$(MAKE) --no-print-directory browser-test
	@$(MAKE) --no-print-directory netlab-test

client-test: web/client/node_modules/.ready ## the JavaScript client in Node
	$(call heading,client tests)
	@cd web/client && npm test --silent

browser-test: build e2e/node_modules/.ready examples/react/node_modules/.ready ## pages in Chromium and Firefox through the real binary
	$(call heading,browser tests)
	@cd e2e && timeout -k 30 40m npm test --silent

# The inputs of the corpora are run by the packages' tests. Counted, not timed, where it has to be short: a fuzzer that its
# time ends on a busy machine sometimes calls that a failure.
fuzz: ## every fuzz target for FUZZTIME, a time or a number of inputs such as 5000x
	@grep -rn --include='*_test.go' -oE '^func Fuzz[A-Za-z0-9_]+' . | \
	  while IFS=: read -r file _ name; do \
	    name=$${name#func }; package=$$(dirname $$file); \
	    echo "$$package $$name"; \
	    $(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) $$package; \
	  done

netlab: build e2e/node_modules/.ready ## calls between every two kinds of network
	@e2e/tools.sh lab
	@e2e/netlab/possible
	@cd e2e && E2E_LONG=1 npm run --silent netlab

heal: build e2e/node_modules/.ready ## running calls broken in every way (HEAL=REGEX: some); a table of how long each took to heal
	@e2e/tools.sh lab
	@e2e/netlab/possible
	@cd e2e && npm run --silent heal

narrow: build e2e/node_modules/.ready ## calls whose line becomes narrow or loses packets, and recovers; tables of what is late, still, silent and invented
	@e2e/tools.sh lab
	@e2e/netlab/possible
	@cd e2e && npm run --silent narrow

netlab-test: build e2e/node_modules/.ready
	$(call heading,network lab)
	@if e2e/netlab/possible; then cd e2e && timeout -k 30 30m npm run --silent netlab; \
	  else echo '######## NETWORK LAB SKIPPED: it needs root, nftables and network namespaces (see the line above) ########'; fi

fast: build e2e/node_modules/.ready ## time and round trips to the first picture: 100 ms away, beside a plain page over pion, with the relay ports closed; and gathering by number of URLs
	@e2e/tools.sh lab
	@e2e/netlab/possible
	@cd e2e && npm run --silent fast

vuln: ## known vulnerabilities in what is built in; asks vuln.go.dev and the npm registry
	@$(GO) run $(GOVULNCHECK) ./...
	@cd e2e && npm audit --omit=dev
	@cd web/client && npm audit

bench: build ## side by side with coturn
	$(GO) run ./bench

soak: build e2e/node_modules/.ready examples/react/node_modules/.ready ## all rounds that are too long for make test, every two browsers in every network, then load for half an hour, watching memory
	@e2e/tools.sh soak
	@$(MAKE) --no-print-directory slow
	E2E_LONG=1 $(GO) test -count=1 -timeout 60m -run TestStayUp ./e2e
	E2E_LONG=1 $(GO) test -count=1 -timeout 10m -run TestNarrowLine -v ./e2e
	E2E_LONG=1 $(GO) test -count=1 -timeout 180m -run 'TestBehindHTTPProxy|TestBehindTCPProxy|TestCaddyOfCompose|TestCallsOutliveReload|TestWrongProxies|TestProxyHidesClients|TestImage' ./e2e
	E2E_LONG=1 $(GO) test -count=1 -timeout 10m -run 'TestThreeNodes|TestRollingRestart|TestClusterOfDeploy' -v ./e2e
	E2E_LONG=1 E2E_KILLS=200 $(GO) test -count=1 -timeout 60m -run TestSessionsOutliveNodes -v ./e2e
	E2E_LONG=1 $(GO) test -count=1 -timeout 30m -run TestSessionsOutliveFreezes -v ./e2e
	E2E_LONG=1 $(GO) test -count=1 -timeout 10h -run 'TestNodes|TestCalls|TestRings|Outlive|InsideDeaths' -v ./signaling
	E2E_LONG=1 $(GO) test -count=1 -timeout 30m -run TestEveryConnectionEnds ./web
	E2E_LONG=1 $(GO) test -count=1 -timeout 10m -run TestManyAllocations -v ./e2e
	TURNSRV_CHURN=$(CHURN) $(GO) test -count=1 -timeout 10h -run TestChurn -v ./turnsrv
	for way in TLS goroutines; do WEBSOCKET_WAY=$$way $(GO) test -count=1 -timeout 10m ./signaling/peerjs ./signaling/rawrelay ./signaling/socketio || exit 1; done
	E2E_LONG=1 $(GO) test -count=1 -timeout 30m -run 'TestSamplePairs|TestAnythingLoads' ./internal/coturnconf
	cd e2e && E2E_LONG=1 node --test --test-concurrency=1 browser/*.test.js browser/*.long.js
	cd e2e && E2E_LONG=1 node --test --test-concurrency=1 netlab/*.test.js netlab/frozen.lab.js netlab/container.lab.js netlab/local.lab.js
	@$(MAKE) --no-print-directory stacks browsers
	@$(MAKE) --no-print-directory narrow drivers
	cd web/client && SCHEDULES=2000 node --test test/narrow.test.mjs test/redundancy.test.mjs
	cd web/client && E2E_LONG=1 node --test test/model.test.mjs
	$(GO) run ./bench soak

drivers: build e2e/node_modules/.ready examples/react/node_modules/.ready ## the relay's own tests, those against coturn, calls in browsers and the network lab on every driver of the relay; all but those in browsers on one machine inside the kernel too (needs root)
	@e2e/tools.sh lab
	@e2e/netlab/possible
	@status=0; for driver in io_uring epoll portable; do \
	  printf '\n==== relay.driver: %s ====\n' $$driver; \
	  TURNSRV_DRIVER=$$driver $(GO) test -count=1 -timeout 20m ./turnsrv || status=1; \
	  export TURNHUB_RELAY_DRIVER=$$driver; \
	  $(GO) test -count=1 -timeout 30m ./e2e/differential || status=1; \
	  (cd e2e && node --test --test-concurrency=1 browser/*.test.js && npm run --silent netlab) || status=1; \
	done; \
	for way in on:io_uring on:epoll clsact:epoll; do \
	  kernel=$${way%:*} driver=$${way#*:}; \
	  printf '\n==== relay.kernel: %s, relay.driver: %s ====\n' $$kernel $$driver; \
	  TURNSRV_KERNEL=$$kernel TURNSRV_DRIVER=$$driver $(GO) test -count=1 -p 1 -timeout 20m ./turnsrv ./turnsrv/internal/kernel || status=1; \
	  export TURNHUB_RELAY_KERNEL=$$kernel TURNHUB_RELAY_DRIVER=$$driver; \
	  $(GO) test -count=1 -timeout 30m ./e2e/differential || status=1; \
	  (cd e2e && node --test netlab/kernel.lab.js && npm run --silent netlab) || status=1; \
	done; exit $$status

debian12: ## the path inside the kernel on the kernel of Debian 12, 6.1, in an emulated machine (needs root, qemu-system-x86, busybox-static and kmod)
	@mkdir -p $(CURDIR)/bin/debian12
	@for package in turnsrv/internal/kernel turnsrv cmd/turnhub; do CGO_ENABLED=0 $(GO) test -c -o bin/debian12/$$(basename $$package) ./$$package || exit 1; done
	@e2e/debian12/run.sh 'cd $(CURDIR)/turnsrv/internal/kernel && $(CURDIR)/bin/debian12/kernel -test.v -test.timeout 30m && cd ../.. && \
	  TURNSRV_DRIVER=epoll $(CURDIR)/bin/debian12/turnsrv -test.v -test.timeout 30m -test.run TestKernel && cd ../cmd/turnhub && \
	  $(CURDIR)/bin/debian12/turnhub -test.v -test.timeout 30m -test.run TestUpgradeKernel'

stacks: build e2e/node_modules/.ready e2e/stacks/node_modules/.ready ## WebRTC stacks outside browsers, and the bots of examples/ in calls with Chromium and Firefox
	@e2e/tools.sh stacks
	@cd examples/bot-pion && $(GO) vet ./...
	@cd e2e && E2E_LONG=1 node --test --test-concurrency=1 stacks/*.test.js

browsers: build e2e/node_modules/.ready ## calls of every two browsers between every two kinds of network, broken in every way; the table in docs/browsers.md (PAIRS=: some)
	@e2e/tools.sh soak
	@e2e/netlab/possible
	@export E2E_RECORD=1; status=0; for pair in $(PAIRS); do \
	  printf '\n==== %s ====\n' $$pair; \
	  (cd e2e && E2E_LONG=1 E2E_PAIR=$$pair node --test --test-concurrency=1 netlab/pairs.test.js netlab/ports.test.js) || status=1; \
	  (cd e2e && E2E_PAIR=$$pair npm run --silent heal) || status=1; \
	  (cd e2e && E2E_PAIR=$$pair node --test netlab/dual.lab.js) || status=1; \
	  (cd e2e && E2E_PAIR=$$pair node --test --test-concurrency=1 netlab/inspected.lab.js netlab/doorheal.lab.js) || status=1; \
	  (cd e2e && E2E_PAIR=$$pair node --test netlab/best.lab.js) || status=1; \
	done; (cd e2e && node netlab/record.js) || status=1; exit $$status

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
	rm -rf bin dist e2e/out bench/out e2e/node_modules e2e/stacks/node_modules web/client/node_modules examples/react/node_modules examples/react/dist examples/bot-pion/bot-pion

%/node_modules/.ready: %/package-lock.json
	@e2e/tools.sh lint
	@cd $* && npm ci --no-audit --no-fund --silent
	@touch $@
