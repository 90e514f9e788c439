# Two commands to know: `make demo` and `make test`. Both set up .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo up test check bench setup clean

demo: $(VENV)/.demo          ## show what it does; MEDIA="a.mp3 b.mp4" takes your files
	$(BIN)/avp demo $(MEDIA)

up: $(VENV)/.demo            ## the Dagster UI, its daemon and the watch folder
	$(BIN)/avp up

test: $(VENV)/.dev           ## every test that is not marked slow
	$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/.dev          ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright

bench: $(VENV)/.bench        ## side-by-side measurements against peers
	$(BIN)/python -m tests.benchmarks $(ARGS)

setup: $(VENV)/.dev

clean:
	rm -rf $(VENV)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; $(PYTHON) is older. Try: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install -q -c constraints.txt -e '.[offline]'
	@touch $@

# What MusicGen is compared with in tests: it asks for older packages, so it has a folder of its own.
PEERS := tests/tracks/musicgen_peer.txt
INSTALL_PEERS = $(PIP) install -q --no-deps --upgrade --target $(VENV)/peers -r $(PEERS)

$(VENV)/.bench: pyproject.toml constraints.txt $(PEERS) | $(BIN)/python
	$(PIP) install -q -c constraints.txt -e '.[offline,dev,effects,scale,bench]'
	$(INSTALL_PEERS)
	@touch $@ $(VENV)/.dev $(VENV)/.demo

$(VENV)/.dev: pyproject.toml constraints.txt $(PEERS) | $(BIN)/python
	$(PIP) install -q -c constraints.txt -e '.[offline,dev,effects,scale]'
	$(INSTALL_PEERS)
	@touch $@ $(VENV)/.demo
