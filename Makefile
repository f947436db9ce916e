# `make repro` and `make test` set up everything they need; the other targets build on the same environment.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Threads that wait for work do not spin, so that processes side by side do not slow each other down.
export OMP_WAIT_POLICY ?= PASSIVE
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: repro unlock test lint bench-cpu bench-gpu lock suite check clean

## The embedded suite's main table, from nothing.
repro: unlock
	dvc repro tables/table2
	@cat results/$$(sed -n 's/^suite: *//p' params.yaml)/tables/table2.md

## Remove DVC's own lock file where a kill cut it in half ("RWLock-file ... is corrupted").
unlock: $(READY)
	@python -m stages.unlock

## What CI runs.
test: $(READY) lint
	python -m pytest

lint: $(READY)
	ruff check .
	ruff format --check .
	pyright

## Speed and memory against a straightforward implementation, as ratios within one run.
bench-cpu: $(READY)
	python -m benchmarks.cpu

bench-gpu: $(READY)
	python -m benchmarks.gpu

## Switch the active suite: make suite NAME=embedded | cifar10 | paper
suite: $(READY)
	python -m stages.suite $(NAME)

## What the active suite needs: data sets, weights, time, disk.
check: $(READY)
	python -m stages.check

$(READY): requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.lock
	touch $@

## Pin the newest versions that pyproject.toml allows.
lock: $(READY)
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header --no-annotate --extra embedded --extra test -o requirements.lock pyproject.toml

clean:
	rm -rf results .lgm dvc_plots
