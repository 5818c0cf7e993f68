# Needs Python 3.11 or later with venv, and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint requirements.lock

.PHONY: run test check laws mutants chaos bench clean
.DEFAULT_GOAL := run

$(VENV)/.run: pyproject.toml requirements.lock
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.run
	$(PIP) --editable '.[dev]'
	touch $@

$(VENV)/.bench: $(VENV)/.dev
	$(PIP) --editable '.[dev,bench]'
	touch $@

run: $(VENV)/.run     ## everything on this machine: sandbox, Prefect, first runs, schedules
	$(BIN)/hrsync up $(ARGS)

test: $(VENV)/.dev    ## the whole suite
	$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/.dev   ## linter, formatter, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

laws: $(VENV)/.dev    ## 10,000 examples of each law: more than an hour
	HRSYNC_LAWS=long $(BIN)/python -m pytest tests/test_laws.py --timeout 14400 $(ARGS)

mutants: $(VENV)/.dev ## breaks the code on purpose and looks whether a law notices; writes docs/laws.md
	$(BIN)/python tests/mutants.py

chaos: $(VENV)/.dev   ## kills processes at hundreds of points, and takes a thousand random steps
	HRSYNC_CHAOS=whole $(BIN)/python -m pytest tests/test_chaos.py tests/test_stateful.py --timeout 3600 $(ARGS)

bench: $(VENV)/.bench ## measures and prints; writes docs/benchmarks.md
	$(BIN)/python -m benchmarks $(ARGS)

clean:
	rm -rf $(VENV) .hrsync build *.egg-info
