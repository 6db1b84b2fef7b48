# The commands of this project. `make up` starts everything, `make test` checks everything.

PYTHON ?= python3
BIN := .venv/bin
# Test processes use one thread each, because threads of numeric libraries compete for the cores.
# There are more processes than a small machine has cores, because many tests wait for a service, a
# lease or a page. A file stays in one process, so that its database or service is started once. Files
# run in the order of tests/conftest.py, not by number of tests, so that the long files of e2e do not
# run last while other cores are idle.
TEST_PROCESSES ?= 5

# Importing the service compiles the 2,600 modules that it uses. pip would compile all 20,000, which
# takes a third of the installation.
COMPILE = PYTHONDONTWRITEBYTECODE= $(BIN)/python -c 'import app.main, worker.main'

.PHONY: up test pytest lint docs bench clean chromium promtool openapi scatterplot swagger-ui

up: .venv/.installed
	@exec $(BIN)/glitch-discovery up --stop-with-parent

# Lint and documentation run in parallel with the tests, which leave cores idle while they wait.
# Debian's packages are fetched while pip installs: each needs one core at most.
test:
	@$(MAKE) --no-print-directory --jobs 2 .venv/.installed-dev promtool
	@$(MAKE) --no-print-directory --jobs 3 lint docs pytest

pytest: export OMP_NUM_THREADS = 1
# Without this, Numba's parallel code sets PyTorch's number of threads to one per core.
pytest: export NUMBA_NUM_THREADS = 1
# Allow bytecode files: otherwise the hundreds of Python processes compile the sources each time.
pytest: export PYTHONDONTWRITEBYTECODE =
# Measure lines by probes: coverage.py's tracer, with branches, doubled the tests' processor time.
pytest: export LINE_COVERAGE = 1
pytest: .venv/.installed-dev
	@$(BIN)/coverage erase
	$(BIN)/pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder
	@$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --include='glitch/*' --fail-under=95
	$(BIN)/coverage report --fail-under=90

# A browser for the tests of the pages: the installed one, or Debian's if run as root.
chromium:
	@command -v chromedriver >/dev/null && command -v chromium >/dev/null || { \
	  [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium chromium-driver >/dev/null; } || { \
	  echo 'The page tests need Chromium and its driver:' \
	       'on Debian and Ubuntu install chromium and chromium-driver.' >&2; exit 1; }

# promtool for the tests of the alert rules, which are skipped without it. RUNLEVEL=1 keeps Debian
# from starting Prometheus. Depends on chromium, because apt-get cannot run twice at a time.
promtool: | chromium
	@command -v promtool >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
	  apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
	  --no-install-recommends prometheus >/dev/null 2>&1; } || true

lint: .venv/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Build the documentation in build/site; broken links are errors.
docs: export NO_MKDOCS_2_WARNING = 1
docs: .venv/.installed-dev
	$(BIN)/mkdocs build --strict --quiet

bench: .venv/.installed-dev
	$(BIN)/python -m benchmarks.run_all

# Rewrite the frozen OpenAPI document. Only for intended changes of the API.
openapi:
	$(BIN)/python scripts/write_openapi.py

# Bundle the map's plotting library into one module, which is committed. Needs Node.js 20 and npm.
scatterplot:
	cd scripts/scatterplot && npm ci --no-audit --no-fund && npm run build

# Fetch Swagger UI for /docs from npm; its files are committed.
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
	@$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt --editable .
	@$(COMPILE)
	@touch $@

.venv/.installed-dev: pyproject.toml constraints.txt | .venv/bin/python
	@echo 'Installing Glitch Discovery and its test tools into .venv.'
	@$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt \
	  --editable '.[dev,docs]'
	@$(COMPILE)
	@touch .venv/.installed $@
