# Everything here needs Python >= 3.10, make and a package index. `make help` lists it.
# Kept to what GNU make 3.81 knows, which is what macOS has.

# The first Python that is new enough; `make test PYTHON=python3.13` takes another.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python3.10 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
# Options for pytest: `make test ARGS='-k refresh -x'`
ARGS ?=
# A file's tests share servers; `make test ARGS='-n 0 --pdb'` runs all in one process.
SEVERAL_AT_A_TIME := -n 3 --dist loadfile --no-loadscope-reorder
# Part of the whole, not of a part that ARGS chooses.
AND_ASYNCIO = $(if $(ARGS),@echo "make test-aio runs those of asyncio sessions",.ci/aio "$(PYTHON)")

.DEFAULT_GOAL := help
.PHONY: help demo test test-aio test-real test-matrix check lint format bench docs clean

help: ## list what can be made
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /|/' | \
		while IFS='|' read -r name words; do printf '  make %-12s %s\n' "$$name" "$$words"; done

demo: $(VENV)/testing.stamp ## watch sessions live through their rotations, offline
	@$(BIN)/python -m rolecall.testing.demo $(ARGS)

test: $(VENV)/dev.stamp ## run all tests that Python packages alone can run
	$(BIN)/python -m pytest $(SEVERAL_AT_A_TIME) $(ARGS)
	$(AND_ASYNCIO)

test-aio: $(VENV)/made.stamp ## run the tests of asyncio sessions alone
	.ci/aio "$(PYTHON)" $(ARGS)

test-real: $(VENV)/dev.stamp ## run the tests with real servers and clients (root installs Debian's)
	.ci/real $(BIN)/python $(ARGS)

lint: $(VENV)/dev.stamp ## what needs no test to be seen: format, lint, types
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/pyright --verifytypes rolecall --ignoreexternal

test-matrix: ## run the core tests on other versions of botocore and Python
	.ci/matrix

check: lint ## all that a change must pass: format, lint, types, layers, docs, tests
	$(BIN)/python -m pytest -q tests/test_layering.py tests/test_docs.py
	$(BIN)/python -m pytest $(SEVERAL_AT_A_TIME) $(ARGS)
	$(AND_ASYNCIO)

format: $(VENV)/dev.stamp ## put the code in shape
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

bench: $(VENV)/bench.stamp .venv-aio/bench/made.stamp ## measure rolecall and its peers side by side
	$(BIN)/python -m bench $(ARGS)

docs: $(VENV)/docs.stamp ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

clean: ## delete what make made
	rm -rf $(VENV) .venv-aio .venv-matrix .real build dist site .mypy_cache .pytest_cache .ruff_cache

# An environment is made by uv where there is one, else by Python itself, and filled once for each
# extra until pyproject.toml changes.
$(VENV)/made.stamp:
	@test -n "$(PYTHON)" || { echo "make: no Python >= 3.10 on PATH; name one: make PYTHON=…" >&2; exit 1; }
	.ci/venv $(VENV) "$(PYTHON)"
	@touch $@

$(VENV)/testing.stamp: $(VENV)/made.stamp pyproject.toml
	.ci/venv $(VENV) "$(PYTHON)" -e '.[testing]'
	@touch $@

$(VENV)/dev.stamp: $(VENV)/made.stamp pyproject.toml
	.ci/venv $(VENV) "$(PYTHON)" -e '.[dev]'
	@touch $(VENV)/testing.stamp $@

$(VENV)/bench.stamp: $(VENV)/dev.stamp pyproject.toml
	.ci/venv $(VENV) "$(PYTHON)" -e '.[bench]'
	@touch $@

# Named for python -m bench in bench/environments.py.
.venv-aio/bench/made.stamp: $(VENV)/made.stamp pyproject.toml
	.ci/venv .venv-aio/bench "$(PYTHON)" -e '.[bench-aio]'
	@touch $@

$(VENV)/docs.stamp: $(VENV)/made.stamp pyproject.toml
	.ci/venv $(VENV) "$(PYTHON)" -e '.[docs]'
	@touch $@
