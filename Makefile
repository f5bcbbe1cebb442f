# Each target sets up what it needs; a second run needs no network. Another Python: make PYTHON=python3.13 test
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=

.PHONY: help setup demo test test-long chaos check format bench bench-compare lock programs clean

help:
	@echo "make demo       a hub, a gateway and a simulated town; open http://127.0.0.1:8080, stop with Ctrl-C"
	@echo "make test       every test            make check   format, lint, types, imports, lock"
	@echo "make bench      the measurements      make format  put the format right"
	@echo "make bench-compare  measure again and show what became worse by a fifth"
	@echo "make test-long  fuzzing and faults at full length, by hand before a release"
	@echo "make chaos      kills and cuts by a seed, then the ledger: make chaos SEED=7 ROUNDS=20"
	@echo "make setup      .venv/ only           make lock    resolve the dependencies anew (needs uv)"

setup:
	@PYTHON="$(PYTHON)" deploy/setup.sh

demo: setup
	@$(BIN)/kanmon-sim demo $(ARGS)

test: setup programs
	@$(BIN)/python -m pytest $(ARGS)

test-long: setup programs
	@KANMON_TEST_LONG=1 $(BIN)/python -m pytest -m "" $(ARGS)

chaos: setup programs
	@$(BIN)/kanmon-sim chaos $(if $(SEED),--seed $(SEED)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(ARGS)

check: setup
	@$(BIN)/ruff format --check --quiet . || { echo "the format differs: run 'make format'"; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m pytest tests/architecture/test_lock.py

format: setup
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format .

bench: setup
	@$(BIN)/python -m benchmarks run $(PART) $(ARGS)

bench-compare: setup
	@$(BIN)/python -m benchmarks compare $(PART) $(if $(BASE),--base $(BASE)) $(if $(NEW),--new $(NEW)) $(ARGS)

lock:
	uv pip compile --universal --generate-hashes --no-emit-index-url --no-emit-find-links --python-version 3.11 \
	  --all-extras --group dev pyproject.toml -o requirements.lock

programs:
	@deploy/debian.sh

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
