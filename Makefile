# Every target does all of its own set-up in .venv. `make help` lists them.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
HEADRACE := .venv/bin/headrace
PYTHON := .venv/bin/python
# Further arguments: make test ARGS="-k supervisor", make demo ARGS="--seed 3".
ARGS ?=
# Of `make simulate`; SEED of `make chaos` too, JOBS of `make mutants`.
SEEDS ?= 1000
FIRST ?= 1
SEED ?=
JOBS ?=
WITHIN ?=
# How many processes `make chaos` kills.
KILLS ?= 1000

.PHONY: help setup demo demo-bad-candidate up test check proof simulate chaos mutants bench bench-runtime bench-decisions fmt lock docs java prometheus

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## make .venv with Python 3.11 and the locked packages (quick when nothing changed)
	@deploy/setup/venv.sh

demo: setup ## the whole loop in about 90 s: drift, retraining, shadow, canary, promotion
	@$(HEADRACE) demo $(ARGS)

demo-bad-candidate: setup ## the same with a worse candidate, which is stopped
	@$(HEADRACE) demo --bad-candidate $(ARGS)

up: setup ## start the platform on this machine with the embedded broker; Ctrl-C stops it
	@$(HEADRACE) up $(ARGS)

test: setup java prometheus check ## format, lint, types, then all tests but the long ones, two at a time
	@$(PYTHON) -m pytest -m "not proof" --numprocesses 2 --no-loadscope-reorder $(ARGS)

check: setup ## format, lint and types, without changing anything
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/basedpyright

proof: setup java prometheus ## the long tests: many seeds, faults, whole replays
	@$(PYTHON) -m pytest -m proof $(ARGS)

simulate: setup ## play SEEDS=1000 histories of the whole platform under faults and check each (FIRST=1, JOBS=cores, WITHIN=seconds); SEED=17: one, and the least of it
	@$(PYTHON) -m tests.scenarios.simulation --first $(FIRST) --seeds $(SEEDS) $(if $(SEED),--seed $(SEED)) $(if $(JOBS),--jobs $(JOBS)) $(if $(WITHIN),--within $(WITHIN)) $(ARGS)

chaos: setup java ## kill, freeze and crash real processes on Apache Kafka while records flow: KILLS=1000 SEED=1
	@$(PYTHON) -m tests.chaos --kills $(KILLS) --seed $(or $(SEED),1) $(ARGS)

mutants: setup ## plant bugs one by one, and see which invariant or test falls (JOBS=cores); report in build/reports
	@$(PYTHON) -m tests.mutants.run $(if $(JOBS),--jobs $(JOBS)) $(ARGS)

bench: setup java ## run every module under tests/benchmarks; tables here, reports in build/reports
	@set -e; mkdir -p build/reports; found=0; \
	for file in $$(find tests/benchmarks -name '*.py' ! -name '_*' 2>/dev/null | sort); do \
	  found=1; module=$$(echo "$${file%.py}" | tr / .); echo "== $$module"; $(PYTHON) -m "$$module" $(ARGS); \
	done; \
	if [ $$found = 0 ]; then echo "bench: there is no module under tests/benchmarks yet" >&2; exit 1; fi

bench-runtime: setup java ## the runtime beside bare kafka-python, memory, latency, what idling costs; docs/performance.md
	@$(PYTHON) -m tests.benchmarks.runtime $(ARGS)

bench-decisions: setup ## false alarms, delays and wrong promotions of the decisions, on streams whose truth is known
	@$(PYTHON) -m tests.benchmarks.decisions $(ARGS)

fmt: setup ## format, and mend what ruff can mend
	@.venv/bin/ruff check --fix --quiet --exit-zero .
	@.venv/bin/ruff format .

lock: setup ## write all lock files anew (newer versions: make lock ARGS=--upgrade)
	@deploy/setup/lock.sh $(ARGS)

docs: setup ## write anew what is generated from code: every module named generate.py
	@set -e; found=0; \
	for file in $$(find shared services deploy docs -name generate.py 2>/dev/null | sort); do \
	  found=1; module=$$(echo "$${file%.py}" | tr / .); echo "== $$module"; $(PYTHON) -m "$$module" $(ARGS); \
	done; \
	if [ $$found = 0 ]; then echo "docs: there is no module named generate.py yet" >&2; exit 1; fi

java: ## Java 17+ and Maven, for the tests on Apache Kafka
	@deploy/setup/debian.sh java

prometheus: ## Prometheus and promtool, for the tests of what is scraped
	@deploy/setup/debian.sh prometheus
