# Two commands: `make demo` and `make test`. Everything else is for those who change the code.

PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check

# What `make demo` embeds; with INPUT and MODEL given, one's own slides with one's own model.
DEMO_DIR := demo
INPUT    ?=
MODEL    ?=
OUTPUT   ?= $(DEMO_DIR)/embeddings
ARGS     ?=

.PHONY: help demo env test-env test lint lock clean

help:
	@echo "make demo [INPUT='…/*.svs' MODEL=DIR OUTPUT=DIR ARGS='…']   embed a slide, and look at the result"
	@echo "make test    run the tests           make lint   ruff and strict mypy"
	@echo "make env     the environment alone   make lock   pin the dependencies anew"

env: $(VENV)/.runtime
test-env: $(VENV)/.test

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# The lock pins, setup.py says what is needed: one file serves both environments.
$(VENV)/.runtime: requirements.lock setup.py | $(BIN)/python
	$(PIP) install --quiet --constraint requirements.lock --editable .
	@touch $@

$(VENV)/.test: $(VENV)/.runtime
	$(PIP) install --quiet --constraint requirements.lock --editable '.[test]'
	@touch $@

lock: | $(BIN)/python
	$(PIP) install --quiet --constraint requirements.lock uv
	$(BIN)/uv pip compile setup.py --all-extras --python-version 3.11 --no-header --no-annotate \
	    $(LOCK_ARGS) --output-file requirements.lock

clean:
	rm -rf $(VENV) $(DEMO_DIR) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
