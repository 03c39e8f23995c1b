PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed

.PHONY: demo test lint bench test-slow clean

demo: $(INSTALLED)
	$(BIN)/python pipelines/demo.py

test: lint
	$(BIN)/python -m pytest -q -n 2

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(INSTALLED)
	$(BIN)/python tools/bench.py

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -q -m slow

$(INSTALLED): setup.cfg constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .[test]
	touch $@

clean:
	rm -rf runs build .pytest_cache .mypy_cache .ruff_cache
