# Everything starts from a bare clone: `make up` to see it work, `make test` to prove it.
.DEFAULT_GOAL := help
.PHONY: help install up down status logs reset test test-unit test-integration lint types contracts generate bench lock

# The first Python that is new enough; PYTHON=/path/to/python names another.
PYTHON ?= $(shell for each in python3 python3.13 python3.12 python3.11 python3.14; do \
	"$$each" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo "$$each"; exit; }; done; echo python3)
BIN := .venv/bin
RUN := $(BIN)/python -m
# Each process has servers of its own. What runs a whole stack stays alone.
SIDE_BY_SIDE := -n logical --maxprocesses 4 --dist loadfile
UNITS := libs services cli/tests deploy/local/tests bench/tests tools/tests
TESTS := $(wildcard libs/*/tests services/*/tests) cli/tests deploy/local/tests bench/tests tools/tests tests

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 20

install:
	@command -v "$(PYTHON)" >/dev/null 2>&1 || { echo "Python 3.11 or newer is needed and none was found: install python3." >&2; exit 1; }
	@"$(PYTHON)" deploy/local/bootstrap.py install

up: install  ## start everything and replay a trading day (FAST=1: as fast as it goes)
	@$(BIN)/crossdock up $(if $(FAST),--fast)

down: install  ## stop everything; the data stays
	@$(BIN)/crossdock down

status: install  ## what runs, where, and the memory it takes
	@$(BIN)/crossdock status

logs: install  ## the ends of the logs (NAME=kafka: one of them)
	@$(BIN)/crossdock logs $(NAME)

reset: install  ## stop everything and forget its data (YES=1: without asking)
	@$(BIN)/crossdock reset $(if $(YES),--yes)

test: lint types contracts  ## the whole suite, on its own ports and folder
	@$(RUN) pytest $(SIDE_BY_SIDE) $(UNITS)
	@$(RUN) pytest tests

test-unit: install  ## what needs no running stack
	@$(RUN) pytest $(SIDE_BY_SIDE) $(UNITS)

test-integration: install  ## the whole stack: across services, and through crashes
	@$(RUN) pytest tests

lint: install  ## ruff, and the length of test names
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@! grep -rnE --include='test_*.py' 'def test_[[:alnum:]_]{56}' $(TESTS) || \
		{ echo "A test name is subject, condition, result in at most 60 characters: shorten these." >&2; exit 1; }

# mypy allows one module of a name in a run, and each folder of tests has a conftest. So each folder is a run of its own
# with itself on the path; all runs share one cache.
types: install  ## mypy, strict: the sources, then each folder of tests
	@$(RUN) mypy
	@for each in $(TESTS); do MYPYPATH=$$each:tools $(RUN) mypy $$each || exit 1; done

contracts: install  ## event contracts, imports between packages, generated files
	@$(RUN) crossdock_events check
	@$(BIN)/lint-imports
	@$(RUN) crossdock_cli.contracts

generate: install  ## write the generated files anew: schemas, examples, AsyncAPI, OpenAPI, pages (BREAK=1: even if it breaks clients)
	@$(RUN) crossdock_events freeze
	@for each in asyncapi topics docs; do $(RUN) crossdock_events $$each --write || exit 1; done
	@$(RUN) crossdock_cli.contracts write $(if $(BREAK),--break)

bench: install  ## one run, one table
	@$(RUN) bench

lock: install  ## pin all requirements anew (UPGRADE=1: to the newest)
	@"$(PYTHON)" deploy/local/bootstrap.py lock
