# The same words here, in CI and in the documents: run, test, quick, check, bench, docs.
# Nothing is assumed beyond Python 3.11 or later, make and git; uv is used where it is installed.

VENV  := .venv
PY    := $(VENV)/bin/python
RUNS  := $(VENV)/.installed-to-run
STAMP := $(VENV)/.installed-with-tools
UV    := $(shell command -v uv 2>/dev/null)
# The first interpreter that is new enough. Another one: make test PYTHON=python3.13 VENV=.venv313
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)

ROOMS := scopes graph tokens authority frameworks.fasterapi
ARGS  ?=
ROOM  ?=
# A file's tests share what they start, so they stay in one process.
PARALLEL := -n auto --dist loadfile
COVERAGE = $(if $(filter tests/% examples/%,$(ARGS)),,$(foreach room,$(ROOMS),--cov=bailiwick.$(room)) --cov-branch \
  --cov-report=term:skip-covered --cov-fail-under=90)

.DEFAULT_GOAL := help
.PHONY: help run quick test soak test-matrix check format bench docs screenshots fuzz build clean

help: ## say what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

run: $(RUNS) ## start the demo API on http://127.0.0.1:8000 (ARGS="--port 8080")
	@$(VENV)/bin/bailiwick run $(ARGS)

quick: $(STAMP) ## run the quick tests, or those of one folder (ROOM=web)
	$(PY) -m pytest $(PARALLEL) --hypothesis-profile=quick -m "not slow and not timing" $(if $(ROOM),tests/$(ROOM)) $(ARGS)

# Three runs: tests of time alone, with no other process beside them; very many cases without a tracer, which would make them
# three times as slow; and all others with coverage, which is asked for where ARGS does not name some of the files. pytest ends
# with 5 where it has nothing to do, as most of these have where ARGS names a file.
test: $(STAMP) ## run the tests on all cores, with branch coverage of the rooms that decide (ARGS=tests/web)
	$(PY) -m pytest -m timing $(ARGS) || test $$? -eq 5
	$(PY) -m pytest $(PARALLEL) -m "untraced and not timing" $(ARGS) || test $$? -eq 5
	$(PY) -m pytest $(PARALLEL) -m "not timing and not untraced" $(COVERAGE) $(ARGS) || test $$? -eq 5

soak: $(STAMP) ## attack an authority and an API for ten minutes beside twenty honest clients (ARGS="--minutes 2")
	$(PY) tests/soak.py $(ARGS)

test-matrix: $(STAMP) ## run the FastAPI door's tests on every FastAPI and Starlette promised (ARGS="--only 0.140.*")
	$(PY) tests/matrix.py $(ARGS)

check: $(STAMP) ## lint, format, types, and whether the generated documents are fresh
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(PY) docs/generate.py --check

format: $(STAMP) ## let ruff write the layout
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format

bench: $(STAMP) ## measure the guard beside an open route and the tutorials, on this machine
ifneq ($(UV),)
	@uv pip install --quiet --python $(PY) -r bench/requirements.txt
else
	@$(PY) -m pip install --quiet --disable-pip-version-check -r bench/requirements.txt
endif
	$(PY) -m bench $(ARGS)

docs: $(STAMP) ## regenerate docs/reference from the code
	$(PY) docs/generate.py

screenshots: $(STAMP) ## take the pictures of the pages in docs/images anew, with Debian's Chromium
	BAILIWICK_SCREENSHOTS=docs/images $(PY) -m pytest tests/browser $(ARGS)

fuzz: $(STAMP) ## send 20,000 requests made from the authority's OpenAPI document to a server of its own (REQUESTS=100000)
	BAILIWICK_FUZZ=$(or $(REQUESTS),20000) $(PY) -m pytest tests/clients/test_fuzz.py -s $(ARGS)

build: $(STAMP) ## build the sdist and the wheel into dist/
	$(PY) -m build

clean: ## remove what make made; the demo's data in .bailiwick stays
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .coverage

# Made once, and again only when pyproject.toml changes. A stamp is written last, so that an
# interrupted installation is taken up again. The demo needs no tools: without them it starts sooner.
$(RUNS): pyproject.toml
	@$(call install,.[demo],Bailiwick)
	@touch $@

$(STAMP): pyproject.toml
	@$(call install,.[dev],Bailiwick and its tools)
	@touch $(RUNS) $@

ifneq ($(UV),)
install = { test -x $(PY) || uv venv --quiet --python '$(or $(PYTHON),>=3.11)' $(VENV); } && \
	echo "Installing $(2) into $(VENV) with uv ..." && \
	uv pip install --quiet --python $(PY) -e '$(1)'
else
install = { test -n "$(PYTHON)" || { echo "Bailiwick needs Python 3.11 or later; none was found. Set PYTHON=/path/to/python3." >&2; exit 1; }; } && \
	{ $(PY) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV) || { \
	  echo "$(PYTHON) cannot make a virtual environment. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }; } && \
	echo "Installing $(2) into $(VENV) (a minute or less, the first time) ..." && \
	$(PY) -m pip install -qq --disable-pip-version-check -e '$(1)'
endif
