# The commands of the project. `make help` prints one line each.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
TARGET := $(or $(CARGO_TARGET_DIR),target)
TOOLS = $$(python3 services/devstack/tools/fetch.py)
DEVSTACK = $(TARGET)/debug/hersys-devstack

.DEFAULT_GOAL := help
.PHONY: help up demo down reset logs test soak check fmt bench baseline

help: ## this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 12

up: ## bring the whole mesh up on this machine and load the demo
	@echo "Obtaining pinned programs"; tools=$(TOOLS); \
	echo "Building"; cargo build --quiet --locked --workspace; \
	$(DEVSTACK) --tools "$$tools" up

down: ## stop what `make up` started; data and keys stay
	@cargo build --quiet --locked -p devstack; $(DEVSTACK) down

reset: ## stop and wipe data, keys and logs
	@cargo build --quiet --locked -p devstack; $(DEVSTACK) reset

demo: up ## play the ministry's notice as the people concerned; `make demo LANGUAGE=en` in English
	$(TARGET)/debug/hersysctl demo --language $(or $(LANGUAGE),ja)

logs: ## the last lines of every log
	@cargo build --quiet --locked -p devstack; $(DEVSTACK) logs

check: ## format, lints, contract, dependency law
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	tools=$(TOOLS); cd proto; "$$tools/buf" lint; "$$tools/buf" breaking --against baseline.binpb

test: check ## everything: checks, unit tests, journeys, faults, on real PostgreSQL, NATS and TLS
	cargo build --locked --workspace
	tools=$(TOOLS); run=$$(mktemp -d /var/tmp/hersys-test.XXXXXX); \
	RUST_LIB_BACKTRACE=0 $(DEVSTACK) --tools "$$tools" --run "$$run" exec cargo nextest run --locked --workspace

soak: ## the promises and faults again in their full amounts: an hour, not minutes
	cargo build --locked --workspace
	tools=$(TOOLS); run=$$(mktemp -d /var/tmp/hersys-soak.XXXXXX); \
	RUST_LIB_BACKTRACE=0 HERSYS_SOAK=1 $(DEVSTACK) --tools "$$tools" --run "$$run" exec \
	cargo nextest run --locked --workspace --profile soak

bench: ## filings, health reports, bed claims, REST against gRPC and Envoy; ratios within the same run
	tools=$(TOOLS); cargo build --locked --release --workspace; \
	run=$$(mktemp -d /var/tmp/hersys-bench.XXXXXX); contract=$$(mktemp /var/tmp/hersys-contract.XXXXXX); \
	trap 'rm -f "$$contract"' EXIT; $(TARGET)/release/hersysctl contract > "$$contract"; \
	$(TARGET)/release/hersys-devstack --tools "$$tools" --run "$$run" exec \
	python3 tests/contract/beside.py "$$run/stack.json" "$$contract" $(TARGET)/release/hersys-load

fmt: ## format the code
	cargo fmt --all

baseline: ## accept the contract as it is now as what later changes must not break
	tools=$(TOOLS); cd proto; "$$tools/buf" build -o baseline.binpb
	HERSYS_WRITE_EVENTS=1 cargo nextest run --locked --workspace -E 'package(proto)'
