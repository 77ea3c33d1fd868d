# Every target does its own set-up: `make demo` and `make test` work in a fresh clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
VIDEOS ?=
DEMO ?= demo
WHEELHOUSE ?= wheelhouse
CUDA ?= 13
# PyPI's torch is of CUDA 13.
TORCH_INDEX := $(if $(filter 12,$(CUDA)),https://download.pytorch.org/whl/cu126)
# A process a core; a file's tests stay together, since they share what they have made. Whole runs come early, as folders
# are sorted, and not last, as files of few tests would: then one core would end long after the others.
SIDE_BY_SIDE := -n auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

.PHONY: help setup demo test test-fast test-services test-peers test-gpu check docs format bench wheelhouse clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(VENV)/.done  ## make .venv with everything pinned (CPU or GPU, DALI for CUDA 13)

$(VENV)/.done: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "surgstream needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[pack,cuda13,dev]'
	touch $@

demo: setup  ## videos -> shards -> training in minutes, no GPU; VIDEOS=FOLDER takes your own videos
	$(BIN)/surgstream demo "$(DEMO)" $(if $(VIDEOS),"$(VIDEOS)")

test: setup  ## run the tests
	$(BIN)/python -m pytest $(SIDE_BY_SIDE)

test-fast: setup  ## run the tests that are not marked slow, some of every room
	$(BIN)/python -m pytest -m "not gpu and not peers and not services and not slow" $(SIDE_BY_SIDE)

test-services: setup  ## run the tests against a real S3 server, Slurm and browser, which apt installs (Debian, Ubuntu)
	which chromium radosgw ceph-mon ceph-osd ceph munged slurmctld slurmd sbatch >/dev/null || \
		{ $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq --no-install-recommends \
		chromium radosgw ceph-mon ceph-osd ceph-common munge slurmctld slurmd slurm-client; }
	$(BIN)/python -m pytest -m services $(SIDE_BY_SIDE)

test-peers:  ## run the tests of those we are measured against, in .venv-peers: not all work with what we pin
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/pip install --quiet --disable-pip-version-check \
		torch==2.13.0 torchvision==0.28.0 -e '.[pack,cuda13,dev,peers]'
	.venv-peers/bin/python -m pytest -m peers

test-gpu: setup  ## run the tests that need a GPU
	$(BIN)/python -m pytest -m gpu

check: setup  ## lint, format check and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy docs/conf.py docs/extensions

docs: setup  ## build the documentation site, in build/docs; a warning or a broken link fails it
	rm -rf build/docs
	$(BIN)/sphinx-build --fail-on-warning --quiet --fresh-env --doctree-dir build/doctrees --builder html docs build/docs
	@echo "build/docs/index.html"

format: setup  ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup  ## measure this machine, theme by theme: half an hour
	$(BIN)/surgstream bench

wheelhouse:  ## fill WHEELHOUSE with all that an install without a network needs; CUDA=12 for drivers below 580
	$(PYTHON) -m venv .venv-wheelhouse
	rm -rf build
	.venv-wheelhouse/bin/pip wheel --quiet --disable-pip-version-check -c constraints.txt \
		$(addprefix --extra-index-url=,$(TORCH_INDEX)) --wheel-dir "$(WHEELHOUSE)" \
		'.[pack,cuda$(CUDA)]' 'setuptools>=77'
	rm -rf build
	@echo "$$(ls "$(WHEELHOUSE)" | wc -l) wheels, $$(du -sh "$(WHEELHOUSE)" | cut -f1);" \
		"there: pip install --no-index --find-links $(WHEELHOUSE) 'surgstream[pack,cuda$(CUDA)]'"

clean:  ## remove the demo's output
	rm -rf $(DEMO)
