# `make demo` and `make test` do all set-up themselves. Needed beforehand: Python 3.10 or newer, and make.
PYTHON ?= python3
VENV ?= .venv
OUT ?= out/demo
BIN := $(VENV)/bin
DEMO_READY := $(VENV)/.ready-demo
TEST_READY := $(VENV)/.ready-test

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: demo test pytest lint format tables params clean help

demo: $(DEMO_READY)  ## simulate a street, replay it, write a report with pictures to out/demo
	$(BIN)/gckpl demo --out $(OUT)

test: $(TEST_READY)  ## lint, types, every test, coverage of the runtime
	@$(MAKE) --no-print-directory --jobs=2 lint pytest

pytest: $(TEST_READY)
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --maxprocesses 8 --dist worksteal --cov --cov-report term:skip-covered

lint: $(TEST_READY)  ## ruff (rules and format) and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(TEST_READY)  ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

tables: $(DEMO_READY)  ## write the tables of README.md and docs/ from docs/benchmarks/*.json and the code
	$(BIN)/python -m gckpl_training.bench.tables

params: $(DEMO_READY)  ## write config/gckpl.param.yaml from the defaults in gckpl_ros/config.py
	$(BIN)/gckpl config --style ros > config/gckpl.param.yaml.tmp
	mv config/gckpl.param.yaml.tmp config/gckpl.param.yaml

# Two stages, for the demo needs neither the test tools nor the system libraries of open3d.
$(DEMO_READY): setup.py constraints.txt .ci/setup
	@.ci/setup demo $(PYTHON) $(VENV)
	@touch $@

$(TEST_READY): $(DEMO_READY)
	@.ci/setup test $(PYTHON) $(VENV)
	@touch $@

clean:  ## remove the environment, caches and outputs
	rm -rf $(VENV) out build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help:
	@echo "usage: make TARGET [PYTHON=python3.12] [OUT=folder]"; echo
	@sed -n 's/^\([a-z]*\):.*##  *\(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name text; do \
		printf '  %-8s %s\n' "$$name" "$$text"; done
