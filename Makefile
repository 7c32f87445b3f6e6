.DEFAULT_GOAL := help
.PHONY: help start test test-long test-citus check format bench soak docs lock release clean
PYTHON ?= python3
BIN := .venv/bin
HOST ?= 127.0.0.1
PORT ?= 8080

help:  ## Print the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

start: .venv/runtime  ## Set everything up and serve on embedded SQLite (rollbook.db in this folder)
	@$(BIN)/rollbook serve --host $(HOST) --port $(PORT)

test: .venv/dev  ## Run every test, on SQLite and on a real PostgreSQL, in JOBS=2 processes
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest -n $(or $(JOBS),2) --dist loadfile --no-loadscope-reorder
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report

# Commands that tests run start quicker from compiled files, wherever the environment says to write none.
test test-long test-citus: export PYTHONDONTWRITEBYTECODE =

test-long: .venv/dev  ## Run what `make test` leaves out, and every example of what it shortens
	@LONG_TESTS=1 $(BIN)/pytest -n $(or $(JOBS),2) --dist loadfile --no-loadscope-reorder -m "long or sized"

test-citus: .venv/dev  ## Run the PostgreSQL tests on Citus: ROLLBOOK_TEST_CITUS=coordinator,worker,... (URLs)
	@$(BIN)/python -m tests.cluster -n 2 --dist loadfile --no-loadscope-reorder

check: .venv/dev  ## Format, lint, strict types, import layers, documentation tests
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/pytest -q tests/docs

format: .venv/dev  ## Format the code and fix what the linter can fix
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: .venv/dev  ## Measure side by side; ENGINE=sqlite, ONLY=address_book, MEMBERS=10000000, ROUNDS=5, SECONDS=4; BASE=REV for an older commit beside this code
	@$(BIN)/python -m $(if $(BASE),benchmarks.compare $(BASE),benchmarks)

soak: .venv/dev  ## Load, kill and cut for MINUTES=10 on each engine (or ENGINE=sqlite), and look for what is lost
	@$(BIN)/python -m tests.soak --minutes $(or $(MINUTES),10) $(addprefix --engine ,$(ENGINE))

docs: .venv/dev  ## Write the generated reference pages anew
	@$(BIN)/python -m tests.docs.generate

lock: .venv/dev  ## Resolve the dependencies anew into requirements/*.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-header --upgrade --group dev --output-file requirements/dev.txt pyproject.toml
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-header --constraint requirements/dev.txt --output-file requirements/runtime.txt pyproject.toml requirements/build.in

release: .venv/dev  ## Check that this commit can be released, build it into dist/, and print what is left to do
	@$(BIN)/python -m tools.release check
	@$(MAKE) --no-print-directory check
	@$(BIN)/python -m tools.release build

clean:  ## Remove the virtual environment and what tools left behind
	rm -rf .venv .coverage* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# The package itself is installed from this folder; everything else by hash.
.venv/runtime: requirements/runtime.txt pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing what rollbook needs (once)..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/runtime.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.venv/dev: requirements/dev.txt .venv/runtime
	@echo "Installing what its tests need (once)..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@
