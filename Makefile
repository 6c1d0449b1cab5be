# Users need `make demo` and `make test`. The other targets are for developers.

# The given Python, or the newest supported one on this machine (scripts/find_python.sh).
PYTHON ?=
VENV   := .venv
PEERS  := .venv-peers
SLIDE2VEC := .venv-slide2vec
TRIDENT_VENV := .venv-trident
TORCH  := .venv-torch
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check

# The input of `make demo`: a sample slide and model, unless others are given.
DEMO   := demo
INPUT  ?= $(DEMO)/sample.svs
MODEL  ?= $(DEMO)/bit-50x1-random
OUTPUT ?= $(DEMO)/embeddings
ARGS   ?=
# Of the files that `make test-faults` damages.
SEED   ?= 1

# A slide with real tissue for `make bench`; skipped if it is missing.
PIXELS ?= ../shared/data/slides/tcga_generic_pyramid_mpp0.5.tiff

.PHONY: help demo env test-env test test-fast test-faults lint docs lock runners bench bench-peers image-rehearsal audit clean
.DEFAULT_GOAL := help

help:
	@echo "make demo [INPUT='…/*.svs' MODEL=DIR OUTPUT=DIR ARGS='…']   embed a slide and print a summary"
	@echo "make test    run the tests              make lint   run ruff and strict mypy"
	@echo "make test-fast   run those without servers, models and whole jobs (under 2 minutes)"
	@echo "make test-faults [SEED=1]   damage thousands of files, kill dozens of jobs, and see what becomes of them (about 30 minutes)"
	@echo "make image-rehearsal   build the images of containers/ and run jobs in them (root on Debian; some minutes)"
	@echo "make test-export   export models of timm to ONNX, and compare with PyTorch (its environment needs several GB)"
	@echo "make bench   measure speed as ratios (a few minutes)      make bench-peers [TRIDENT=CHECKOUT]   compare with LazySlide, slide2vec and TRIDENT"
	@echo "make env     make the environment only  make lock   pin the dependencies anew"
	@echo "make runners [RUNNERS='prism flink-job-server flink']       fetch the runners of docs/running.md"
	@echo "make docs    build the pages of docs/ as a site, in build/site"
	@echo "make audit   ask the advisory database about every pinned version (needs a network)"
	@echo "PYTHON=/path/to/python chooses the Python of a new environment"

env: $(VENV)/.runtime
test-env: $(VENV)/.test

$(BIN)/python:
	@python=$$(PYTHON='$(PYTHON)' scripts/find_python.sh) && "$$python" -m venv $(VENV)

# Every installed file must have its hash from the locks. `pip check` finds requirements of setup.py
# that the locks lack. setuptools is in the lock, because the editable install needs it to build.
LOCKED   := scripts/install_locked.sh $(BIN)/python
EDITABLE := $(PIP) install --quiet --no-deps --no-build-isolation --editable .

# Install pip first: versions before 23.3 lose the pin of a package that is requested with an extra. pip
# then installs uv, which installs the rest in a tenth of the time.
$(VENV)/.runtime: requirements-pip.lock requirements-uv.lock requirements.lock requirements-cpu.lock setup.py | $(BIN)/python
	$(PIP) install --quiet --require-hashes -r requirements-pip.lock -r requirements-uv.lock
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
	@echo "A drawn sample slide:"
	@$(BIN)/beamscope make-slide --width 8192 --height 8192 --output $@

$(DEMO)/bit-50x1-random: | env
	@mkdir -p $(DEMO)
	@echo "A sample model, with random weights:"
	@$(BIN)/beamscope make-model --architecture 50x1 --modality path --output $@

test: test-env
	$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

# No servers, no models, no whole jobs: under two minutes on two cores.
test-fast: test-env
	$(BIN)/python -m pytest -n 2 --dist worksteal -m 'not slow and not server' $(ARGS)

# The whole of the campaign of which `make test` runs a sample (docs/reliability.md).
test-faults: test-env
	BEAMSCOPE_CAMPAIGN=whole BEAMSCOPE_SEED=$(SEED) $(BIN)/python -m pytest -s tests/campaign $(ARGS)

# The images of containers/, on stand-ins for their base images (docs/containers.md).
image-rehearsal: test-env
	$(BIN)/python -m tests.containers.rehearsal $(ARGS)

# PyTorch has an environment of its own: no part of beamscope needs it.
.PHONY: test-export
test-export: test-env
	test -d $(TORCH) || $(BIN)/python -m venv $(TORCH)
	$(TORCH)/bin/python -m pip --disable-pip-version-check install --quiet -r tests/inference/backends/onnx/torch_requirements.txt
	BEAMSCOPE_TORCH_PYTHON=$(TORCH)/bin/python $(BIN)/python -m pytest -s tests/inference/backends/onnx/torch_export_test.py $(ARGS)

lint: test-env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# A link to a page, heading or picture that is not there is an error.
docs: test-env
	$(BIN)/python -m sphinx --builder html --fail-on-warning --keep-going --quiet docs build/site
	@echo "open build/site/index.html"

# Resolve all extras once, for every Python and system in setup.py and pyproject.toml. Then write
# one file for the package, and one for the additions of each extra. So the files agree.
LOCK := build/lock
PIN  := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header \
        --no-annotate --quiet
UV   := $(PIN) setup.py
# Keep present pins that still fit; `make lock UPGRADE=--upgrade` takes the newest versions.
UPGRADE ?=

lock: | test-env
	@mkdir -p $(LOCK)
	echo 'pip-audit>=2.10' | $(PIN) $(UPGRADE) --output-file requirements-audit.lock -
	echo 'pip>=25' | $(PIN) $(UPGRADE) --output-file requirements-pip.lock -
	echo 'uv>=0.5' | $(PIN) $(UPGRADE) --output-file requirements-uv.lock -
	cat requirements.lock requirements-cpu.lock requirements-gpu.lock requirements-test.lock \
	    > $(LOCK)/all.lock
	$(UV) $(UPGRADE) --all-extras --output-file $(LOCK)/all.lock
	$(UV) --constraint $(LOCK)/all.lock --output-file requirements.lock
	sed -n 's/^\([a-z0-9.-]*\)\(\[.*\]\)*==.*/--no-emit-package \1/p' requirements.lock > $(LOCK)/runs
	$(UV) --constraint $(LOCK)/all.lock $$(cat $(LOCK)/runs) --extra cpu --output-file requirements-cpu.lock
	$(UV) --constraint $(LOCK)/all.lock $$(cat $(LOCK)/runs) --extra gpu --output-file requirements-gpu.lock
	$(UV) --constraint $(LOCK)/all.lock $$(cat $(LOCK)/runs) --extra test --extra lock --extra docs --output-file requirements-test.lock

bench: test-env
	$(BIN)/python -m benchmarks.reading
	test ! -e '$(PIXELS)' || $(BIN)/python -m benchmarks.reading --pixels '$(PIXELS)'
	$(BIN)/python -m benchmarks.model
	$(BIN)/python -m benchmarks.pipeline
	$(BIN)/python -m benchmarks.several_models
	$(BIN)/python -m benchmarks.scale
	$(BIN)/python -m benchmarks.manifest

# The environments of LazySlide, slide2vec and TRIDENT need several GB each. TRIDENT is on no package
# index: TRIDENT=CHECKOUT is a clone of its repository.
TRIDENT ?=
bench-peers: test-env
	test -d $(PEERS) || $(BIN)/python -m venv $(PEERS)
	$(PEERS)/bin/python -m pip --disable-pip-version-check install --quiet -r benchmarks/peers.txt
	test -d $(SLIDE2VEC) || $(BIN)/python -m venv $(SLIDE2VEC)
	$(SLIDE2VEC)/bin/python -m pip --disable-pip-version-check install --quiet -r benchmarks/slide2vec.txt
	test -z '$(TRIDENT)' || test -d $(TRIDENT_VENV) || $(BIN)/python -m venv $(TRIDENT_VENV)
	test -z '$(TRIDENT)' || $(TRIDENT_VENV)/bin/python -m pip --disable-pip-version-check install --quiet '$(TRIDENT)'
	$(BIN)/python -m benchmarks.peers --lazyslide $(PEERS)/bin/python --slide2vec $(SLIDE2VEC)/bin/python \
	    $(if $(TRIDENT),--trident $(TRIDENT_VENV)/bin/python) $(ARGS)

# pip-audit has an environment of its own, so that its requirements are not ours.
AUDIT := .venv-audit

audit: | test-env
	test -d $(AUDIT) || $(BIN)/python -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes -r requirements-audit.lock
	scripts/audit.sh $(AUDIT)/bin/pip-audit requirements*.lock

# Fetch Prism and Flink into the user's cache; keep those that are there in the right version.
runners: env
	$(BIN)/beamscope fetch-runners $(RUNNERS)

clean:
	rm -rf .venv .venv-* $(DEMO) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
