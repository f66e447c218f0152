# All that a developer or a newcomer runs. Everything is installed into .venv by the lock file.
PYTHON ?= python3
BIN := .venv/bin
UV := $(BIN)/uv pip --quiet
PYTEST := $(BIN)/pytest --durations=10 --durations-min=1
# Where a machine keeps no compiled files, each of pytest's processes would rewrite all tests anew.
unexport PYTHONDONTWRITEBYTECODE
READY := .venv/.ready

NOT_COMPILED := '/(tests|pip|setuptools|mypy|mypyc|nltk|rllib|tune|train|serve)/'

MUTANTS ?= 200
SEED ?= 1

.PHONY: demo demo-live test quick durations mutants check format lock alfworld wheel clean

demo: $(READY)  ## the sample suite with recorded answers of a small model, executed for real
	$(BIN)/codeact run model=recorded task=sample

demo-live: $(READY)  ## fetch a small model (about 5 GB), serve it on the CPU, play the sample suite
	$(BIN)/python launchers/demo_live.py

quick: $(READY)  ## under a minute: no Docker, no Ray, nothing that takes a second or waits
	$(PYTEST) --numprocesses 2 --dist loadfile --no-loadscope-reorder -m "not (slow or docker or ray or alone or docs)"

test: $(READY)  ## every test that this machine can run; the others say why they are skipped
	$(PYTEST) --numprocesses 6 --dist loadfile --no-loadscope-reorder -m "not alone and not ray"
	$(PYTEST) --numprocesses 2 --dist loadfile -m ray tests/experiment tests/models
	$(PYTEST) -m alone tests/sandboxes

durations:  ## the whole, which writes down what takes long: `make quick` and the order of files go by it
	$(MAKE) test PYTEST="$(PYTEST) --record-durations"

mutants: $(READY)  ## do the tests find small faults? MUTANTS=200 SEED=1 ONLY="3 17" (numbers of the sample)
	$(UV) install --python $(BIN)/python --group mutants
	$(BIN)/python -m tests.mutants --mutants $(MUTANTS) --seed $(SEED) $(if $(ONLY),--only $(ONLY))

check: $(READY)  ## format, lint, types, import layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock:  ## resolve the newest versions that pyproject.toml admits
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --group dev --extra repl pyproject.toml \
	  --generate-hashes --no-emit-index-url --no-header --no-annotate -o requirements.lock

alfworld: $(READY)  ## the games of task=alfworld: builds their engine with g++, make and cmake; two minutes
	$(UV) install --python $(BIN)/python --editable '.[alfworld]'

wheel: $(READY)
	$(BIN)/python -m build --wheel --outdir dist

clean:
	rm -rf .venv dist .mypy_cache .ruff_cache .pytest_cache

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "codeact needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check uv==0.13.9
	$(UV) install --python $(BIN)/python -r requirements.lock
	$(UV) install --python $(BIN)/python --no-deps --editable .
# Sandboxes see this environment read-only, and some machines keep no compiled files: without them
# every process compiles what it imports. Here that is done once, for what anything of ours imports.
	$(BIN)/python -m compileall -q -j 0 -x $(NOT_COMPILED) .venv/lib codeact sandbox
	touch $(READY)
