# make quickstart   the whole workflow on three built-in tasks: minutes on a laptop's CPU
# make test         the test suite
# make lint         style, types, workflow
# Each sets up .venv by itself.
PYTHON ?= python3
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1)
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: quickstart test lint lock

quickstart: $(BIN)/.installed
	snakemake --cores all --quiet rules
	ship table
	@echo "The report: report/index.html"

# A process more than there are cores, since one waits for Slurm most of the time. `pytest` alone runs all tests in one.
test: $(BIN)/.installed
	pytest --numprocesses $(WORKERS) --durations 10

lint: $(BIN)/.installed
	ruff check .
	ruff format --check .
	mypy
	snakefmt --check Snakefile workflow
	snakemake --lint
	snakemake --dry-run --quiet all

# Exact versions of everything with every extra, without hashes or hosts.
lock:
	$(PYTHON) -m venv --clear .venv-lock
	.venv-lock/bin/python -m pip install --quiet uv
	.venv-lock/bin/uv pip compile --quiet --universal --upgrade --all-extras --no-annotate --no-header --python-version 3.11 \
		pyproject.toml --output-file requirements.lock
	rm -rf .venv-lock

$(BIN)/.installed: pyproject.toml requirements.lock
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@
