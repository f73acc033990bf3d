# make run          the experiment in params.yaml, with a line for each job and the time left
# make quickstart   the whole workflow on three built-in tasks: minutes on a laptop's CPU
# make test         the test suite
# make lint         style, types, workflow
# make bench        what steps and inference cost, and how a task's time is spent: into docs/performance.json
# Each sets up .venv by itself.
PYTHON ?= python3
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
BIN := .venv/bin
COMPILE ?= --compile-bytecode
INSTALL ?= $(BIN)/uv pip install $(COMPILE) --python $(BIN)/python --build-constraints requirements.lock
CHECKED := --require-hashes --requirement
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: run quickstart test lint style types rules bench lock

run: $(BIN)/.installed
	PYTHONPATH=workflow/plugins snakemake --cores all --logger ship

quickstart: run
	ship table
	@echo "The report: report/index.html"

# A process more than there are cores, since one waits for Slurm most of the time. `pytest` alone runs all tests in one.
test: $(BIN)/.installed
	pytest --numprocesses $(WORKERS) --durations 10

lint: style types rules

style: $(BIN)/.installed
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow

types: $(BIN)/.installed
	mypy

rules: $(BIN)/.installed
	snakemake --lint
	snakemake --dry-run --quiet all

bench: $(BIN)/.installed
	python benchmarks/formulas.py
	python benchmarks/bench.py

# Exact versions of everything with every extra, and the hashes of all their files; no host names.
# Versions that are there stay: `make lock UPGRADE=--upgrade` takes the newest ones.
lock:
	$(PYTHON) -m venv --clear .venv-lock
	.venv-lock/bin/python -m pip install --quiet uv
	.venv-lock/bin/uv pip compile --quiet --universal --generate-hashes $(UPGRADE) --all-extras --no-annotate --no-header \
		--python-version 3.11 pyproject.toml --output-file requirements.lock
	rm -rf .venv-lock

# Every file is compared with its hash, also those that packages are built with. An installation that was cut off has
# no mark, and starts anew. Without uv: make INSTALL=".venv/bin/python -m pip install" test
$(BIN)/.installed: pyproject.toml requirements.lock
	test -e $@ || $(PYTHON) -m venv --clear .venv
	rm -f $@
	sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > .venv/uv.lock
	$(BIN)/python -m pip install --quiet $(CHECKED) .venv/uv.lock
	$(INSTALL) --quiet $(CHECKED) requirements.lock
	$(INSTALL) --quiet --no-deps --no-build-isolation --editable .
	touch $@
