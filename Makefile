# Two commands do everything on a machine with Python 3.11 or later: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test test-all check format bench clean

demo: $(VENV)/.installed
	$(BIN)/thirtytwo train

# Two processes of one thread each: with more threads than cores, OpenMP's spinning makes both crawl.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile

test: $(VENV)/.tools
	$(PYTEST) -m "not slow"

test-all: $(VENV)/.tools
	$(PYTEST)

check: $(VENV)/.tools
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.tools
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# In an environment of their own: what is measured beside (kornia, fastai, timm) is no part of the product.
PEERS := .venv-peers
CIFAR10 ?= cifar10
MNIST ?= mnist
CLONES ?=
bench: $(PEERS)/.installed
	PATH="$(CURDIR)/$(PEERS)/bin:$$PATH" benchmarks/bench.sh "$(CIFAR10)" "$(MNIST)" $(CLONES)

$(PEERS)/.installed: pyproject.toml constraints.txt benchmarks/peers.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(PEERS)/bin/python -m pip install --disable-pip-version-check --constraint constraints.txt --requirement benchmarks/peers.txt --editable '.[dev]'
	touch $@

# The sizes are of a .venv on Linux x86-64, where PyPI's torch brings the libraries of NVIDIA GPUs.
define ABOUT
thirtytwo and all that it needs are installed into $(VENV), which takes a few minutes, once.
On Linux it fills about 6 GB, 4 GB of which are libraries for NVIDIA GPUs.
Without those 4 GB: stop this (Ctrl-C), install torch's build for CPUs, and begin again:
    $(PYTHON) -m venv $(VENV)
    $(BIN)/pip install --constraint constraints.txt torch torchvision --index-url ADDRESS   (pytorch.org has it, under CPU)

endef
export ABOUT

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "thirtytwo needs Python 3.11 or later: make PYTHON=python3.12 ...")'
	@echo "$$ABOUT"
	$(PYTHON) -m venv $(VENV)
# This pip shows how far it has unpacked; that of Python 3.11 was mute for 110 s.
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt --editable .
	touch $@

$(VENV)/.tools: $(VENV)/.installed
	$(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
