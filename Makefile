# Every command of the project; `make` alone lists them. Only Python (3.11 or newer), git and make are needed.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
  command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
HOME_FOLDER ?= .shoal
ARGS ?=
# The tests start the program a thousand times: compiled once, that takes a third of the time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help serve test test-agents check fix bench docs lock clean
help: ## List these commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

.venv/made:
	@test -n "$(PYTHON)" || { echo "Shoal needs Python 3.11 or newer: install it, or name one with PYTHON=..."; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv || echo "uv is not to be had; pip will do"
	@touch $@

# uv where it could be had, for its speed; else pip.
INSTALL = if [ -x $(BIN)/uv ]; then $(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt $(1); \
  else $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt $(1); fi

.venv/serves: .venv/made pyproject.toml constraints.txt
	@echo "Installing Shoal into .venv ..."
	@$(call INSTALL,-e .)
	@touch $@

# By a name: a comma would end the argument of a call.
EXTRAS := kubernetes,llm,notify,postgres
DEVELOPMENT := $(shell sed -n '/^dev = \[/,/^\]/p' pyproject.toml | grep -o '"[^"]*"' | tr -d '"' | sed "s/.*/'&'/")
.venv/tests: .venv/serves
	@echo "Installing what development needs into .venv ..."
	@$(call INSTALL,-e '.[$(EXTRAS)]' $(DEVELOPMENT))
	@touch $@

serve: .venv/serves ## Start Shoal on SQLite in ./.shoal and print its address
	@exec $(BIN)/shoal --home $(HOME_FOLDER) serve $(ARGS)

test: .venv/tests ## Run every test, on SQLite and on a PostgreSQL of its own
	$(BIN)/python -m pytest -n auto $(ARGS)

test-agents: .venv/tests ## Run the tests with the real agents, fetched from npm into .agents
	$(BIN)/python -m tests.agents.programs
	$(BIN)/python -m pytest -n auto tests/agents $(ARGS)

check: .venv/tests ## Format, lint, types, import directions, the project's rules about itself
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python hatch_build.py
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest tests/meta

fix: .venv/tests ## Format, and mend what the linter can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/tests ## Measure, print the tables, and write docs/benchmarks.md
	$(BIN)/python -m bench $(ARGS)

docs: .venv/serves ## Write the reference, docs/reference, as the program tells it
	$(BIN)/shoal reference --output docs/reference

lock: .venv/tests ## Pin what development uses now in constraints.txt
	$(BIN)/python -m pip freeze --exclude-editable --disable-pip-version-check | grep -v -e '^-' -e ' @ ' > constraints.new
	mv constraints.new constraints.txt

clean: ## Remove what these commands made, except a home
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .bench .dataview .agents .remark dist
