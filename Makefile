# Each target sets up what it needs; nothing else has to be installed before it but Python 3.11+.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11 python; do \
	$$name -c '$(NEW_ENOUGH)' 2>/dev/null && echo $$name && break; done)
VENV   ?= .venv
ZOO    ?= .venv-zoo
BIN    := $(VENV)/bin
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow test-zoo test-portable lint format benchmark clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

$(VENV)/.ready: pyproject.toml constraints.txt
	@$(or $(PYTHON),false) -c '$(NEW_ENOUGH)' || \
		{ echo 'omniconv needs Python 3.11 or newer; say which one: make PYTHON=/path/to/python3.11' >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[demo,dev]'
	@touch $@

$(ZOO)/.ready: tests/convert/zoo/requirements.txt constraints.txt
	$(PYTHON) -m venv $(ZOO)
	$(ZOO)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt \
		torch scipy safetensors rich --requirement tests/convert/zoo/requirements.txt
	@touch $@

demo: $(VENV)/.ready  ## learn land and sea from a picture of the Earth, on three surfaces, and write a report
	$(BIN)/omniconv demo

test: $(VENV)/.ready  ## the tests that run in a few minutes
	$(BIN)/python -m pytest -n $(WORKERS)

test-slow: $(VENV)/.ready  ## every test, also the slow ones
	$(BIN)/python -m pytest -n $(WORKERS) -m ''

test-zoo: $(ZOO)/.ready  ## published networks converted, in an environment of their own
	PYTHONPATH=src:tests/convert $(ZOO)/bin/python -m pytest tests/convert/zoo -m zoo -rP --tb=short

test-portable: $(VENV)/.ready  ## the tests with the instruction sets of older processors, one thread and two
	$(BIN)/python tests/portable.py --workers $(WORKERS)

lint: $(VENV)/.ready  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.ready  ## put the code into the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

benchmark: $(VENV)/.ready  ## ratios to torch.nn on this machine, written to benchmarks/results/
	$(BIN)/python -m benchmarks.convolutions

clean:  ## remove the environment and everything built
	rm -rf $(VENV) $(ZOO) build dist .pytest_cache .ruff_cache .mypy_cache
