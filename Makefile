# Two commands matter: make demo, make test. Both set up all they need in .venv and .venvs.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
SOURCES := $(shell find src -name '*.py' -o -name '*.pyx' -o -name '*.pxd') setup.py pyproject.toml

.PHONY: demo test quick lint bench wheels clean

## The main job: 10,000 connections to an unmodified blocking server, run as green threads.
demo: $(VENV)/.installed
	$(PY) scripts/demo.py $(DEMO_ARGS)

## Everything: lint, types, layers, and the tests on every CPython found, compiled and uncompiled.
test:
	$(PYTHON) scripts/test.py

## The tests on this Python only, compiled.
quick:
	$(PYTHON) scripts/test.py --quick

lint:
	$(PYTHON) scripts/test.py --lint

## Speed and memory beside the peers; writes benchmarks/results/.
bench:
	$(PYTHON) benchmarks/bench.py $(BENCH_ARGS)

## A wheel for each CPython found, both processors and both C libraries, in dist/; WHEELS_ARGS=--test
## installs and tests them. Fetches a C compiler of 100 MB the first time.
wheels:
	$(PYTHON) scripts/wheels.py $(WHEELS_ARGS)

$(VENV)/.installed: $(SOURCES)
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check .
	touch $@

clean:
	rm -rf build dist .venv .venvs benchmarks/.venv benchmarks/build src/*.egg-info
	find src -name '*.so' -delete
