# Two commands: `make demo` and `make test`. Everything else is for those who change the code.

# The newest supported Python that is there (scripts/find_python.sh), or the one that is given.
PYTHON ?=
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
	@echo "PYTHON=/path/to/python takes that Python for the environment, where there is none yet"

env: $(VENV)/.runtime
test-env: $(VENV)/.test

$(BIN)/python:
	@python=$$(PYTHON='$(PYTHON)' scripts/find_python.sh) && "$$python" -m venv $(VENV)

# Every file that is installed has to have the hash that the locks say; what they leave out of what
# setup.py asks for is found by `pip check`. setuptools is in the lock: nothing else builds.
LOCKED   := $(PIP) install --quiet --require-hashes
EDITABLE := $(PIP) install --quiet --no-deps --no-build-isolation --editable .

# pip itself goes first: those before 23.3 lose a pin where an extra of the package is asked for.
$(VENV)/.runtime: requirements-pip.lock requirements.lock requirements-cpu.lock setup.py | $(BIN)/python
	$(LOCKED) -r requirements-pip.lock
	$(LOCKED) -r requirements.lock -r requirements-cpu.lock
	$(EDITABLE)
	$(PIP) check
	@touch $@

$(VENV)/.test: requirements-test.lock $(VENV)/.runtime
	$(LOCKED) -r requirements.lock -r requirements-cpu.lock -r requirements-test.lock
	$(PIP) check
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

# One resolution of all extras, for every Python and system that setup.py and pyproject.toml name;
# then a file of what runs, and one of what each extra adds to it. So they agree with one another.
LOCK := build/lock
PIN  := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header \
        --no-annotate --quiet
UV   := $(PIN) setup.py
# What is pinned now stays where it still fits; `make lock UPGRADE=--upgrade` takes the newest.
UPGRADE ?=

lock: | test-env
	@mkdir -p $(LOCK)
	echo 'pip>=25' | $(PIN) $(UPGRADE) --output-file requirements-pip.lock -
	cat requirements.lock requirements-cpu.lock requirements-gpu.lock requirements-test.lock \
	    > $(LOCK)/all.lock
	$(UV) $(UPGRADE) --all-extras --output-file $(LOCK)/all.lock
	$(UV) --constraint $(LOCK)/all.lock --output-file requirements.lock
	sed -n 's/^\([a-z0-9.-]*\)\(\[.*\]\)*==.*/--no-emit-package \1/p' requirements.lock > $(LOCK)/runs
	$(UV) --constraint $(LOCK)/all.lock $$(cat $(LOCK)/runs) --extra cpu --output-file requirements-cpu.lock
	$(UV) --constraint $(LOCK)/all.lock $$(cat $(LOCK)/runs) --extra gpu --output-file requirements-gpu.lock
	$(UV) --constraint $(LOCK)/all.lock $$(cat $(LOCK)/runs) --extra test --extra lock --output-file requirements-test.lock

bench: test-env
	$(BIN)/python -m benchmarks.reading
	test ! -e '$(PIXELS)' || $(BIN)/python -m benchmarks.reading --pixels '$(PIXELS)'
	$(BIN)/python -m benchmarks.model
	$(BIN)/python -m benchmarks.pipeline
	$(BIN)/python -m benchmarks.scale
	$(BIN)/python -m benchmarks.manifest

# Needs several GB: LazySlide's environment.
bench-peers: test-env
	test -d $(PEERS) || $(BIN)/python -m venv $(PEERS)
	$(PEERS)/bin/python -m pip --disable-pip-version-check install --quiet -r benchmarks/peers.txt
	$(BIN)/python -m benchmarks.peers --python $(PEERS)/bin/python

# Prism and Flink, into the user's cache; what is there at the right version is left alone.
runners: env
	$(BIN)/beamscope fetch-runners $(RUNNERS)

clean:
	rm -rf .venv .venv-* $(DEMO) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
