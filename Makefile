# `make repro` and `make test` set up everything they need; `make help` lists the other targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The pipeline's packages, and those of the tests, linters and docs beside them.
READY := $(VENV)/.ready
TESTS_READY := $(VENV)/.tests-ready
INSTALL := $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes
# Threads that wait for work do not spin, so that processes side by side do not slow each other down.
export OMP_WAIT_POLICY ?= PASSIVE
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Two test processes where there are two cores, each with a thread of its own.
WORKERS ?= $(shell nproc 2>/dev/null || echo 2)
UNIT_TESTS := $(wildcard tests/test_*.py) $(addprefix tests/,foundation settings data models features method evaluation reporting preflight)

.PHONY: help repro all unlock test fast lint format docs bench-cpu bench-gpu lock suite check clean

help:  ## What there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1 @\2/p' Makefile | column -t -s @

repro: unlock  ## The active suite's main table, from nothing; JOBS=n: n stages side by side
	@python -m stages.side_by_side --jobs "$(JOBS)" tables/table2
	@cat results/$$(sed -n 's/^suite: *//p' params.yaml)/tables/table2.md

all: unlock  ## All tables and figures and the report, the same way; or TARGETS='tables/table5 figures/figure9'
	@python -m stages.side_by_side --jobs "$(JOBS)" $(TARGETS)

suite: $(READY)  ## Switch: NAME=embedded | imagenette | shapes | cifar10 | paper; or write one of your own: NAME=pets DATA=folder:pets BACKBONES='timm:… …'
	@python -m stages.suite "$(NAME)" "$(DATA)" "$(BACKBONES)" "$(SIZE)"

check: $(READY)  ## What the active suite needs: data sets, weights, time, disk
	python -m stages.check

test: $(TESTS_READY) lint  ## Everything, as CI runs it
	OMP_NUM_THREADS=1 python -m pytest -n $(WORKERS) --dist loadfile

fast: $(TESTS_READY) lint  ## Linters and unit tests, in under a minute
	OMP_NUM_THREADS=1 python -m pytest -n $(WORKERS) -m "not slow" $(UNIT_TESTS)

lint: $(TESTS_READY)  ## Linters and the type checker
	ruff check .
	ruff check --select D1 --ignore D105,D107 lgm_core stages benchmarks
	ruff format --check .
	pyright

format: $(TESTS_READY)  ## Put imports and code into the common form
	ruff check --fix --exit-zero .
	ruff format .

docs: $(TESTS_READY)  ## The documentation site, in site/
	python -m mkdocs build --strict -d site

bench-cpu: $(READY)  ## Speed and memory against a straightforward implementation, as ratios within one run
	python -m benchmarks.cpu

bench-gpu: $(READY)  ## The same on a GPU
	python -m benchmarks.gpu

unlock: $(READY)  ## Remove DVC's own lock file where a kill cut it in half ("RWLock-file … is corrupted")
	@python -m stages.unlock

lock: $(TESTS_READY)  ## Pin the newest versions that pyproject.toml allows
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header --no-annotate --extra pipeline --extra embedded -o requirements.lock pyproject.toml
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header --no-annotate --extra test --extra docs -c requirements.lock -o requirements-dev.lock pyproject.toml

clean:  ## Remove all results and checkpoints
	rm -rf results .lgm dvc_plots

$(READY): requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(INSTALL) -r requirements.lock
	touch $@

$(TESTS_READY): $(READY) requirements-dev.lock
	$(INSTALL) -r requirements-dev.lock
	touch $@
