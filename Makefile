# The commands of the project. `make help` prints one line each.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
TARGET := $(or $(CARGO_TARGET_DIR),target)
TOOLS = $$(python3 services/devstack/tools/fetch.py)
DEVSTACK = $(TARGET)/debug/hersys-devstack

.DEFAULT_GOAL := help
.PHONY: help up demo down reset logs test soak check fmt bench baseline chart-test images images-test images-of-two

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

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

STATIC = $(TARGET)/static
RELEASE = $(STATIC)/x86_64-unknown-linux-gnu/release
PACK = gateway identity registry notification followup beds statistics operator
IMAGES = target/images
# The last that fits wins: generated code lies in the target folder, which may lie here.
REMAP = $(foreach p,$(CURDIR)=/hersys $(HOME)/.cargo=/cargo $(abspath $(STATIC))=/target,--remap-path-prefix=$(p))
# The flag makes another program of every crate: a folder of its own. Paths of this machine stay out of the binaries.
images: ## pack every service into an image: static, from scratch, without root; writes target/images
	tools=$(TOOLS); python=$$(python3 tests/contract/venv.py image); \
	RUSTFLAGS="-C target-feature=+crt-static -C strip=symbols $(REMAP)" \
	CARGO_TARGET_DIR=$(STATIC) cargo build --quiet --locked --release --target x86_64-unknown-linux-gnu $(PACK:%=-p %); \
	$$python tests/images/build.py --binaries $(RELEASE) --font "$$tools/ipaexg.ttf" --into $(IMAGES) $(PACK)

images-test: images ## start the real images in the stack's place and play the main job on them
	cargo build --quiet --locked --workspace
	tools=$(TOOLS); python=$$(python3 tests/contract/venv.py image); \
	$$python tests/images/run.py --images $(IMAGES) --binaries $(RELEASE) \
	--devstack $(DEVSTACK) --ctl $(TARGET)/debug/hersysctl --tools "$$tools" $(PACK)

# Of two services only: a static release build of all takes a quarter of an hour.
images-of-two:
	$(MAKE) --no-print-directory images-test PACK="gateway notification" IMAGES=target/images-of-two

chart-test: ## render the chart in every profile and look at what comes out; SETS=1000 for more random values
	python=$$(python3 tests/contract/venv.py kubernetes); \
	$$python tests/chart/rules.py; $$python tests/chart/check.py --tools $(TOOLS) --sets $(or $(SETS),50)

test: check chart-test images-of-two ## everything: checks, unit tests, journeys, faults, on real PostgreSQL, NATS and TLS
	cargo build --locked --workspace
	tools=$(TOOLS); run=$$(mktemp -d /var/tmp/hersys-test.XXXXXX); \
	RUST_LIB_BACKTRACE=0 $(DEVSTACK) --tools "$$tools" --run "$$run" exec cargo nextest run --locked --workspace

soak: ## the promises and faults again in their full amounts: an hour, not minutes
	$(MAKE) chart-test SETS=1000
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
