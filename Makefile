# The commands of this project. `make up` starts everything, `make test` checks everything.

PYTHON ?= python3
BIN := .venv/bin
# Each test process has one thread: the numeric libraries' threads fight over the cores as soon as
# anything else runs. There are more than a small machine has cores, because many tests wait: for
# a service that starts, a lease that runs out, a page. A file stays in one process, so that what its
# tests share (a database, a service) is started once; files come in the order of tests/conftest.py,
# not by their number of tests, so that the few long ones of e2e are not the last, beside an idle core.
TEST_PROCESSES ?= 5

.PHONY: up test pytest lint docs bench clean chromium promtool openapi scatterplot swagger-ui

up: .venv/.installed
	@exec $(BIN)/glitch-discovery up --stop-with-parent

# Types and documentation are checked in what the tests leave of the cores while they wait.
# Debian's packages are fetched while pip installs: neither needs more than one core.
test:
	@$(MAKE) --no-print-directory --jobs 2 .venv/.installed-dev promtool
	@$(MAKE) --no-print-directory --jobs 3 lint docs pytest

pytest: export OMP_NUM_THREADS = 1
# PyTorch takes over the number of threads of whatever Numba does in parallel, which is one a core.
pytest: export NUMBA_NUM_THREADS = 1
# The tests start some hundred processes of Python, which without it compile the sources each time.
pytest: export PYTHONDONTWRITEBYTECODE =
# Counted by probes, without branches: a trace of them doubled the tests' processor time.
pytest: export LINE_COVERAGE = 1
pytest: .venv/.installed-dev
	@$(BIN)/coverage erase
	$(BIN)/pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder
	@$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --include='glitch/*' --fail-under=95
	$(BIN)/coverage report --fail-under=90

# The pages are tested in a real browser: the one that is here, or Debian's where root may fetch it.
chromium:
	@command -v chromedriver >/dev/null && command -v chromium >/dev/null || { \
	  [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium chromium-driver >/dev/null; } || { \
	  echo 'The page tests need Chromium and its driver:' \
	       'on Debian and Ubuntu install chromium and chromium-driver.' >&2; exit 1; }

# The alert rules are checked by Debian's promtool; where it cannot be had, those tests say so. No
# service is started (RUNLEVEL). One call of apt-get at a time.
promtool: | chromium
	@command -v promtool >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	  apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
	  --no-install-recommends prometheus >/dev/null 2>&1; } || true

lint: .venv/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The documentation as a site in build/site; a link that leads nowhere fails it.
docs: export NO_MKDOCS_2_WARNING = 1
docs: .venv/.installed-dev
	$(BIN)/mkdocs build --strict --quiet

bench: .venv/.installed-dev
	$(BIN)/python -m benchmarks.run_all

# The contract with clients, frozen: only where a change of it is meant.
openapi:
	$(BIN)/python scripts/write_openapi.py

# The map's drawing library, built into one module that is committed; needs Node.js 20 and npm.
scatterplot:
	cd scripts/scatterplot && npm ci --no-audit --no-fund && npm run build

# Swagger UI for /docs, as npm has it; the files are committed.
swagger-ui:
	bash scripts/swagger-ui/fetch.sh

clean:
	rm -rf .venv build dist *.egg-info .coverage .coverage.*
	rm -rf .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo 'Glitch Discovery needs Python 3.11 or newer; $(PYTHON) is older or missing.' \
	       'Install it and run: make PYTHON=/path/to/python3.11' >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; \
	  echo 'The virtual environment could not be made: on Debian and Ubuntu install python3-venv.' >&2; \
	  exit 1; }

.venv/.installed: pyproject.toml constraints.txt | .venv/bin/python
	@echo 'Installing Glitch Discovery into .venv: some minutes, most of them for PyTorch,' \
	  'and only when its dependencies change.'
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

.venv/.installed-dev: pyproject.toml constraints.txt | .venv/bin/python
	@echo 'Installing Glitch Discovery and its test tools into .venv.'
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,docs]'
	@touch .venv/.installed $@
