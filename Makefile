PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
PACKAGE := setup.cfg setup.py pyproject.toml $(wildcard neuroadda/kernels/*.pyx neuroadda/kernels/*.pxd)

# The part without torch, on a Python whose zarr is 3.
PYTHON3 ?= python3.13
VENV3 ?= .venv-zarr3
INSTALLED3 := $(VENV3)/installed
WITHOUT_TORCH := tests/volumes tests/blockwise tests/pyramids tests/segmentation tests/evaluation tests/test_config.py tests/test_formats.py

.PHONY: demo test test-zarr3 lint bench chaos test-slow clean

demo: $(INSTALLED)
	$(BIN)/python pipelines/demo.py

test: lint
	$(BIN)/python -m pytest -q -n 2

test-zarr3: $(INSTALLED3)
	$(VENV3)/bin/python -m pytest -q -n 2 $(WITHOUT_TORCH)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(INSTALLED)
	$(BIN)/python -m benchmarks.bench

chaos: $(INSTALLED)
	$(BIN)/python -m tests.chaos.chaos --seeds 0 1 2 --jobs 3

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -q -m slow

$(INSTALLED): $(PACKAGE) constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .[test]
	touch $@

$(INSTALLED3): $(PACKAGE) requirements-zarr3.txt
	$(PYTHON3) -m venv $(VENV3)
	$(VENV3)/bin/python -m pip install --quiet --requirement requirements-zarr3.txt
	$(VENV3)/bin/python -m pip install --quiet --no-deps --editable .
	touch $@

clean:
	rm -rf runs build .pytest_cache .mypy_cache .ruff_cache
