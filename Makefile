# Everything is built from this checkout and the Go module proxy; nothing else
# is needed first.

GOLANGCI_VERSION := v2.15.0
TOOLS := $(CURDIR)/bin/tools
GOLANGCI := $(TOOLS)/golangci-lint-$(GOLANGCI_VERSION)

.PHONY: all build demo test test-clients test-spec check-spec test-streams test-linear race lint fuzz chaos chaos-nodes soak bench bench-simulator clean

all: lint test

build: ## bin/shardferry
	go build -trimpath -o bin/ ./cmd/...

demo: build ## move two simulated clusters under load, and back again
	bin/shardferry demo

test: ## every test once
	go test ./...

test-clients: build ## mongosh, the Node driver and pymongo on simulated clusters
	mongotest/clients/run.sh bin/shardferry .cache/clients

test-spec: ## the MongoDB drivers' specification tests against simulated clusters
	go run ./internal/speccheck -write docs/SIMULATOR.md

check-spec: ## the same, without writing the page: fails if what passes is not what the list says
	go run ./internal/speccheck

HISTORIES ?= 10000
test-streams: ## random histories, and their change streams resumed from anywhere
	SHARDFERRY_HISTORIES=$(HISTORIES) go test ./mongotest/histories -timeout 60m

test-linear: ## histories of three nodes under faults, judged as if they were one machine
	SHARDFERRY_HISTORIES=$(HISTORIES) go test ./coordinator -run TestTheControlPlaneIsOneMachine -v -timeout 60m

race: ## every test with the race detector
	.ci/race

lint: $(GOLANGCI) ## vet, golangci-lint, formatting
	go vet -composites=false ./...
	$(GOLANGCI) run
	$(GOLANGCI) fmt --diff

$(GOLANGCI):
	GOBIN=$(TOOLS) go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	mv $(TOOLS)/golangci-lint $@

# A number of runs, or a time as 10m; a run that time cuts off may count as failed
# (context deadline exceeded), which a number cannot.
FUZZTIME ?= 10000x
fuzz: ## each fuzz target FUZZTIME
	@go list -f '{{$$p := .ImportPath}}{{range .TestGoFiles}}{{$$p}} {{$$.Dir}}/{{.}}{{"\n"}}{{end}}{{range .XTestGoFiles}}{{$$p}} {{$$.Dir}}/{{.}}{{"\n"}}{{end}}' ./... | \
	while read pkg file; do [ -n "$$file" ] || continue; \
	  for f in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' $$file); do \
	    echo "fuzz $$pkg $$f"; go test $$pkg -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) || exit 1; \
	  done; \
	done

SEEDS ?= 1-20
chaos: build ## faults in virtual time; make chaos SEEDS=42 repeats a run
	bin/shardferry chaos --seeds $(SEEDS)

EACH ?= 20
chaos-nodes: build ## three nodes of which one suffers at every phase and step, EACH times each; an hour
	bin/shardferry chaos --nodes 3 --each $(EACH)

FROM ?= 1
KEEP ?=
soak: ## short histories of every kind, compared byte by byte; make soak FROM=7 SEEDS=1 repeats one
	go run ./internal/soak -from $(FROM) -seeds $(if $(filter command line environment,$(origin SEEDS)),$(SEEDS),2000) -keep "$(KEEP)"

bench: build ## one JSON document with the tool's speed and costs
	bin/shardferry bench

bench-simulator: ## what the simulated cluster does in a second
	go test ./mongotest -run '^$$' -bench 'Insert|Scan|ChangeStream' -benchtime 500000x
	go test ./mongotest -run '^$$' -bench Memory -benchtime 10000000x
	go test ./mongotest -run '^$$' -bench Start -benchtime 20x

clean:
	rm -rf bin
