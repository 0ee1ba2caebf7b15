# Needs make and Python 3.11 or newer. Everything else goes into .venv, the JupyterLab extension's packages into labextension.

PYTHON ?= python3
LAB_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
ALLOW_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)
# Whoever runs the tests: nothing leaves the machine, the notebooks talk to their stand-in, IPython has its defaults
TEST_ENV := env -u OPENAI_API_KEY LANGSMITH_TRACING=false IPYTHONDIR="$(CURDIR)/$(VENV)/ipython"
PYTEST := $(TEST_ENV) $(BIN)/python -m pytest
# jlpm and Node are in .venv too
JLPM := cd labextension && PATH="$(CURDIR)/$(BIN):$$PATH" jlpm
EXTENSION := $(wildcard labextension/*.json labextension/yarn.lock labextension/schema/* labextension/src/* labextension/src/*/* labextension/style/*)
NBVAL := $(PYTEST) --nbval --nbval-current-env --nbval-sanitize-with tests/notebooks/sanitize.cfg
REPLAY := notebooks/03_persist_and_replay.ipynb

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help lab test browser redis lint jest unit nbval notebooks ui pictures bench soak format clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-9s %s\n", $$1, $$2 }' Makefile

lab: $(VENV)/.installed-tour ## Open the tour in JupyterLab (more arguments for it: LAB_ARGS="--no-browser")
	$(BIN)/python -m jupyterlab --ServerApp.root_dir=notebooks --LabApp.default_url=/lab/tree/01_tour.ipynb $(ALLOW_ROOT) $(LAB_ARGS)

test: browser lint jest unit nbval ui ## Set up all that tests need, and run everything

browser: $(VENV)/.installed-test
	@$(BIN)/python -m tests.ui.browser

lint: $(VENV)/.installed-test ## Style, types and who may import whom
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	@$(JLPM) lint

jest: $(VENV)/.installed-test ## The tests of the JupyterLab extension that need no browser
	@$(JLPM) test

redis: $(VENV)/.installed-test
	@$(BIN)/python -m tests.caches.redis_server

unit: redis ## The tests that need no browser
	$(PYTEST) --numprocesses auto --maxprocesses 4 --dist loadfile

nbval: $(VENV)/.installed-test ## Run the notebooks and compare their outputs
	$(NBVAL) notebooks --ignore $(REPLAY)
	PYTHONPATH=tests/notebooks/no_network $(NBVAL) $(REPLAY)

notebooks: $(VENV)/.installed-test ## Run the notebooks and save their outputs
	PYTHONPATH=notebooks $(TEST_ENV) $(BIN)/python -m tests.notebooks.record

# Warnings stay warnings here: most are those of the browser's plugin
ui: browser ## The tests in JupyterLab in a browser; screenshots go to artifacts/
	$(PYTEST) tests/ui --override-ini filterwarnings=default --output artifacts/failures --screenshot only-on-failure

pictures: browser ## Take the README's pictures
	$(PYTEST) tests/ui -k "test_the_panel_follows_the_tour or test_the_pictures" --override-ini filterwarnings=default
	mkdir -p docs
	cp artifacts/tour_panel.png docs/panel.png
	cp artifacts/extension_badges.png docs/badges.png
	cp artifacts/extension_panel.png docs/sidepanel.png

bench: $(VENV)/.installed-bench ## Print ratios to LangChain's own caches
	$(TEST_ENV) $(BIN)/python -m benchmarks

soak: $(VENV)/.installed-test ## The randomised and threaded tests, for many more rounds
	$(PYTEST) --soak -m soak

format: $(VENV)/.installed-test ## Put the code into its one form
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean: ## Remove .venv and whatever else is not in git by design
	rm -rf labextension/lib labextension/node_modules llmcache_jupyter/labextension
	rm -rf $(VENV) artifacts build dist .benchmarks .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# $(VENV)/.installed-tour, $(VENV)/.installed-test: this package, editable, with that extra. That builds the JupyterLab
# extension where there is none, and copies it into .venv
$(VENV)/.installed-%: pyproject.toml $(EXTENSION)
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
	  $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    echo "Python 3.11 or newer is needed, and $(PYTHON) is: $$($(PYTHON) --version 2>&1)"; \
	    echo "Name another one: make $(MAKECMDGOALS) PYTHON=python3.13"; exit 1; } >&2; \
	  echo "Making $(VENV)"; $(PYTHON) -m venv --clear $(VENV); }
	@echo "Installing into $(VENV) what '$*' needs; the first time takes some minutes"
	@rm -rf llmcache_jupyter/labextension
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@
