# PYTHON: a name or a path; if it is empty, the first supported Python that runs. VENV: where the virtual environment goes.
PYTHON ?=
VENV ?= .venv
ifneq ($(filter-out clean,$(or $(MAKECMDGOALS),demo)),)
CHOICE := $(shell tools/choose_python.sh "$(PYTHON)" "$(VENV)" 2>&1)
# Three words: version, program, folder. All else is a message.
ifneq ($(words $(CHOICE)),3)
$(error $(CHOICE))
endif
$(info Python $(word 1,$(CHOICE)): $(word 2,$(CHOICE)))
endif
VERSION := $(word 1,$(CHOICE))
PROGRAM := $(word 2,$(CHOICE))
FOLDER := $(word 3,$(CHOICE))
BIN := $(FOLDER)/bin
INSTALLED := $(FOLDER)/installed
TESTABLE := $(FOLDER)/installed-test
PACKAGE := setup.cfg setup.py pyproject.toml $(wildcard neuroadda/kernels/*.pyx neuroadda/kernels/*.pxd)

# One file of pinned releases for Python 3.11, one for all later ones: `make constraints` writes them.
CONSTRAINTS := constraints/$(if $(filter 3.11,$(VERSION)),py311,py312).txt
PIP_INSTALL := -m pip install --quiet --constraint $(CONSTRAINTS)
PINNER := .venv-constraints
COMPILE := UV_CUSTOM_COMPILE_COMMAND="make constraints" $(PINNER)/bin/uv pip compile setup.cfg --quiet --all-extras --no-annotate $(UPGRADE)

# What needs no torch is also tested without it, where only a large torch is to be had.
BARE := .venv-without-torch-$(VERSION)
WITHOUT_TORCH := tests/volumes tests/ledger tests/blockwise tests/runs tests/pyramids tests/segmentation tests/evaluation tests/test_config.py tests/test_wording.py

# What a developer runs after every edit: under 90 s on two quiet cores.
FAST := tests/volumes tests/evaluation tests/pyramids tests/test_config.py tests/test_imports.py tests/test_kernels.py tests/test_device_leases.py tests/test_locks.py \
	tests/test_outputs.py tests/test_packaging.py tests/test_redaction.py tests/test_requirements.py tests/test_wording.py

.PHONY: demo test pytest test-fast test-system test-without-torch lint docs bench chaos test-slow constraints clean

# A thread of torch that waits shall sleep: where other work goes on, it would spin on the processor that others need to finish.
demo test pytest test-fast test-system test-slow test-without-torch: export OMP_WAIT_POLICY := passive

# OpenBLAS has no such setting: on the small matrices of the tests, a second thread of it would do nothing but spin.
test pytest test-fast test-system test-slow test-without-torch: export OPENBLAS_NUM_THREADS := 1

# Tests start some hundred processes: each would compile all it imports.
test pytest test-fast test-system test-slow test-without-torch: export PYTHONDONTWRITEBYTECODE :=

demo: $(INSTALLED)
	$(BIN)/python pipelines/demo.py

# mypy is one process and takes a minute: it runs beside the tests. Some of those wait for processes: four at once fill two cores.
test:
	@$(MAKE) --no-print-directory -j 2 lint pytest

pytest: $(TESTABLE)
	$(BIN)/python -m pytest -q -n 4 --dist worksteal

test-fast: $(TESTABLE)
	$(BIN)/python -m pytest -q -n 2 $(FAST)

test-without-torch: $(BARE)/installed
	$(BARE)/bin/python -m pytest -q -n 2 -m 'not slow and not gpu' $(WITHOUT_TORCH)

lint: $(TESTABLE)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(if $(filter 3.11,$(VERSION)),$(BIN)/mypy,@echo "mypy left out: it checks the types of the releases for Python 3.11, such as zarr 2")

# The site of the documentation, in site/: open site/index.html.
docs: $(TESTABLE)
	$(BIN)/python -m mkdocs build --strict

bench: $(TESTABLE)
	$(BIN)/python -m benchmarks.bench

chaos: $(TESTABLE)
	$(BIN)/python -m tests.chaos.chaos --seeds 0 1 2 --jobs 3

# Most of its time is spent waiting for processes: three at once. SYSTEM: files to take alone.
test-system: $(TESTABLE)
	$(BIN)/python -m pytest -q -n 3 -m 'system and not slow and not gpu' $(SYSTEM)

test-slow: $(TESTABLE)
	$(BIN)/python -m pytest -q -m slow

$(INSTALLED): $(PACKAGE) $(CONSTRAINTS)
	$(PROGRAM) -m venv $(FOLDER)
	$(BIN)/python $(PIP_INSTALL) --editable .
	touch $@

$(TESTABLE): $(INSTALLED)
	$(BIN)/python tools/requirements.py --extra test docs >$(FOLDER)/requirements.txt
	$(BIN)/python $(PIP_INSTALL) --requirement $(FOLDER)/requirements.txt
	touch $@

$(BARE)/installed: $(PACKAGE) $(CONSTRAINTS)
	$(PROGRAM) -m venv $(BARE)
	$(BARE)/bin/python tools/requirements.py --extra test --without torch >$(BARE)/requirements.txt
	$(BARE)/bin/python $(PIP_INSTALL) --requirement $(BARE)/requirements.txt
	$(BARE)/bin/python -m pip install --quiet --no-deps --editable .
	touch $@

# Pins the releases of new requirements and keeps the others; `make constraints UPGRADE=--upgrade` pins the newest of all.
constraints:
	$(PROGRAM) -m venv $(PINNER)
	$(PINNER)/bin/python -m pip install --quiet uv
	$(COMPILE) --python-version 3.11 --output-file constraints/py311.txt
	$(COMPILE) --python-version 3.12 --universal --output-file constraints/py312.txt

clean:
	rm -rf runs build site .pytest_cache .mypy_cache .ruff_cache
