# Everything is done in one virtual environment, .venv, that is made on first use and brought up
# to date only when pyproject.toml or constraints.txt changes.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
# Where it cannot be installed it says why, and the tests skip themselves.
CLUSTER := $(BIN)/python tests/slurm/cluster.py

.PHONY: help demo test test-all test-slurm test-slurm-quick lint bench clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "PYTHON=/path/to/python3.12 chooses the interpreter when .venv is made (3.11 to 3.13)."

demo: $(READY) ## compare all learning rules on small digits; results in runs/demo
	$(BIN)/biosim compare digits --seeds 3 --out runs/demo --overwrite

test: $(READY) ## the tests that CI runs
	@sh tests/chromium.sh
	$(BIN)/pytest -n 2 --dist worksteal

test-all: $(READY) ## every test that this machine can run, the slow ones too
	@sh tests/chromium.sh
	@$(CLUSTER) install || true
	BIOSIM_EXAMPLES=thorough $(BIN)/pytest -n 2 --dist worksteal -m ''

test-slurm: $(READY) ## the tests on a real Slurm, which is installed (Debian, as root) and started
	@$(CLUSTER) install || true
	$(BIN)/pytest -n 0 -m slurm tests/slurm

test-slurm-quick: $(READY) ## those that take seconds; CI runs them
	@$(CLUSTER) install || true
	$(BIN)/pytest -n 0 -m 'slurm and not slow' tests/slurm

lint: $(READY) ## style, format, types, import directions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY) ## measure speed and memory beside the baselines
	$(BIN)/python -m benchmarks

clean: ## remove .venv and what the tools cached; results in runs/ stay
	rm -rf .venv build dist *.egg-info
	rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -type d -name __pycache__ -prune -exec rm -rf {} +

# torch goes first and alone: it is by far the largest, and the rest must not choose its version.
# setuptools comes with it, so that the last step builds with the pinned one.
$(READY): pyproject.toml constraints.txt
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
	    $(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	    || { echo "biosim needs Python 3.11 to 3.13, and '$(PYTHON)' is not: run make PYTHON=/path/to/python3.12" >&2; exit 1; }; \
	    $(PYTHON) -m venv .venv; }
	@echo "Installing into .venv; the first time this takes some minutes, for torch is large."
	@$(BIN)/python -m pip install --quiet -c constraints.txt setuptools torch
	@$(BIN)/python -m pip install --quiet -c constraints.txt --no-build-isolation -e '.[test,lint]'
	@touch $@
