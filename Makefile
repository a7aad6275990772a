# The whole project from one place; `make` alone lists what there is.
# Paths are relative, so that the folder may have any name.

PYTHON ?= python3
VENV := .venv/bin/python
SETUP := $(PYTHON) scripts/setup_venv.py
PORT ?= 8000

# Tests start some hundred processes: without bytecode each of them compiles the package anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo serve test faults bench chaos lint types docs architecture measure messages screenshots package clean

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-13s %s\n", $$1, $$2}' Makefile

demo: ## Run the example workflows with a real worker, on SQLite and the broker in the database
	@$(SETUP)
	@$(VENV) -m example_project.demo

serve: ## Web server, worker and beat of the example project (PORT=8000); Ctrl-C stops them
	@$(SETUP)
	@$(VENV) -m example_project.prepare
	@$(VENV) manage.py directordev --port $(PORT)

test: ## Run the tests but the slow and the thorough ones; those that need a server that does not run here are skipped
	@$(SETUP) test
	@$(VENV) -m pytest -m "not slow and not thorough" -n auto --dist loadscope $(ARGS)

chaos: ## Break all under load, then check every promise (SECONDS=120 SEED=… DATABASE=URL BROKER=URL WITHOUT="KIND …")
	@$(SETUP) test
	@$(VENV) -m tests.acceptance.chaos --seconds $(or $(SECONDS),120) $(if $(SEED),--seed $(SEED)) \
		$(if $(DATABASE),--database "$(DATABASE)") $(if $(BROKER),--broker "$(BROKER)") $(if $(WITHOUT),--without $(WITHOUT))

bench: ## Measure beside plain Celery and celery-director on PostgreSQL and Redis (ARGS=--help)
	@$(SETUP) test bench
	@$(VENV) -m benchmarks $(ARGS)

faults: ## Run the tests that prove rows of docs/explanation/guarantees.md
	@$(SETUP) test
	@# Two at a time, unless they would share a broker.
	@$(VENV) -m pytest -m fault $(if $(CELERY_BROKER_URL),,-n 2 --dist worksteal)

lint: ## Check style and formatting
	@$(SETUP) lint
	@$(VENV) -m ruff check .
	@$(VENV) -m ruff format --check .

types: ## Check types
	@$(SETUP) test types
	@$(VENV) -m mypy

docs: ## Build the documentation into docs/_build/html
	@$(SETUP) docs
	@$(VENV) -m sphinx -W --keep-going -b html docs docs/_build/html

architecture: ## Draw the rooms of the package anew, from its code, for docs/explanation/architecture.md
	@$(PYTHON) -m scripts.draw_rooms

screenshots: ## Take pictures of the admin's pages, and those of the documentation (FOLDER=var/screenshots)
	@$(SETUP) test browser
	@$(VENV) -m scripts.screenshots.take $(or $(FOLDER),var/screenshots)

messages: ## Bring the translations up to date with the texts in the code, and compile them (needs GNU gettext)
	@$(SETUP) test
	@$(VENV) -m scripts.messages

measure: ## Print how long functions and modules are
	@$(PYTHON) scripts/measure_house.py

package: ## Build the package into dist/ and check it
	@$(SETUP) release
	@rm -rf dist
	@$(VENV) -m build --outdir dist .
	@$(VENV) -m twine check --strict dist/*

clean: ## Remove what was made here: the virtual environment, the demo's data, builds
	rm -rf .venv var dist build docs/_build .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
