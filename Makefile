# `make run` and `make test` need nothing before them: both set up .venv when it is missing or out of date.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.installed
ARGS ?=
GROWTH ?=

.DEFAULT_GOAL := help
.PHONY: help run test check lint types nightly mutation verify-report bench clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): pyproject.toml constraints.txt
	@echo "Setting up .venv (once, a few minutes)"
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all]'
	@touch $@

run: $(READY) ## train a policy that grows while it learns, export and check it (GROWTH=wider, GROWTH=both, ARGS="--help")
	$(BIN)/morphir-agents run grownn-minihack-room $(if $(GROWTH),--growth $(GROWTH)) $(ARGS)

test: $(READY) ## run the tests, on all cores (options: ARGS="tests/ir -x")
	$(BIN)/pytest --numprocesses auto --dist worksteal $(ARGS)

check: lint types test ## everything that CI checks: hooks, types, tests

lint: $(READY) ## run the hooks except the type checker: ruff lint, ruff format, whitespace
	SKIP=mypy $(BIN)/pre-commit run --all-files --show-diff-on-failure

types: $(READY) ## run the type checker
	$(BIN)/mypy

nightly: $(READY) ## run the tests that take minutes and write docs/nightly.md
	$(BIN)/python .ci/nightly.py

mutation: $(READY) ## test the tests of the checkers on mutants (hours; goes on where it was stopped) and write docs/mutation.md
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[mutation]'
	$(BIN)/python .ci/mutation.py $(ARGS)

verify-report: $(READY) ## measure how well the checkers check, and write docs/verification.md (options: ARGS="--help")
	$(BIN)/python .ci/verify_report.py $(ARGS)

bench: $(READY) ## run every benchmark in benchmarks/
	@set -e; for file in $$(grep -l __main__ benchmarks/*.py); do echo "== $$file"; $(BIN)/python "$$file" $(ARGS); done

clean: ## remove the virtual environment, caches and build output; keeps runs/
	rm -rf .venv build dist mutants .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
