# Two commands: `make demo` and `make test`. Everything else is for those who change the code.

PYTHON ?= python3.11
VENV   := .venv
PEERS  := .venv-peers
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check

# What `make demo` embeds: one's own slides and model where they are given.
DEMO   := demo
INPUT  ?= $(DEMO)/sample.svs
MODEL  ?= $(DEMO)/bit-50x1-random
OUTPUT ?= $(DEMO)/embeddings
ARGS   ?=

# Real tissue for `make bench`, where it is there.
PIXELS ?= ../shared/data/slides/tcga_generic_pyramid_mpp0.5.tiff

.PHONY: help demo env test-env test lint lock runners bench bench-peers clean
.DEFAULT_GOAL := help

help:
	@echo "make demo [INPUT='…/*.svs' MODEL=DIR OUTPUT=DIR ARGS='…']   embed a slide, and look at the result"
	@echo "make test    run the tests           make lint   ruff and strict mypy"
	@echo "make bench   speed, side by side, as ratios (a few minutes)      make bench-peers   beside LazySlide"
	@echo "make env     the environment alone   make lock   pin the dependencies anew"
	@echo "make runners [RUNNERS='prism flink-job-server flink']       fetch what docs/running.md runs on"

env: $(VENV)/.runtime
test-env: $(VENV)/.test

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# The lock pins, setup.py says what is needed: one file serves both environments.
$(VENV)/.runtime: requirements.lock setup.py | $(BIN)/python
	$(PIP) install --quiet --constraint requirements.lock --editable '.[cpu]'
	@touch $@

$(VENV)/.test: $(VENV)/.runtime
	$(PIP) install --quiet --constraint requirements.lock --editable '.[cpu,test]'
	@touch $@

demo: env $(filter $(DEMO)/%,$(INPUT) $(MODEL))
	@$(BIN)/beamscope slides --input '$(INPUT)' --model '$(MODEL)' --output '$(OUTPUT)' $(ARGS)

$(DEMO)/sample.svs: | env
	@mkdir -p $(DEMO)
	@echo "A sample slide, drawn rather than scanned:"
	@$(BIN)/beamscope make-slide --width 8192 --height 8192 --output $@

$(DEMO)/bit-50x1-random: | env
	@mkdir -p $(DEMO)
	@echo "A sample model, with random weights:"
	@$(BIN)/beamscope make-model --architecture 50x1 --modality path --output $@

test: test-env
	$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

lint: test-env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lock: | $(BIN)/python
	$(PIP) install --quiet --constraint requirements.lock uv
	$(BIN)/uv pip compile setup.py --all-extras --python-version 3.11 --no-header --no-annotate \
	    --quiet --output-file requirements.lock

bench: test-env
	$(BIN)/python -m benchmarks.reading
	test ! -e '$(PIXELS)' || $(BIN)/python -m benchmarks.reading --pixels '$(PIXELS)'
	$(BIN)/python -m benchmarks.model
	$(BIN)/python -m benchmarks.pipeline
	$(BIN)/python -m benchmarks.scale
	$(BIN)/python -m benchmarks.manifest

# Needs several GB: LazySlide's environment.
bench-peers: test-env
	test -d $(PEERS) || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip --disable-pip-version-check install --quiet -r benchmarks/peers.txt
	$(BIN)/python -m benchmarks.peers --python $(PEERS)/bin/python

# Prism and Flink, into the user's cache; what is there at the right version is left alone.
runners: $(VENV)/.runtime
	PYTHON=$(BIN)/python scripts/fetch_runners.sh $(RUNNERS)

clean:
	rm -rf $(VENV) $(PEERS) $(DEMO) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
