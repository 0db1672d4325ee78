# Both start from a bare clone: `make up` shows Crossdock at work, `make test` runs all tests.
.DEFAULT_GOAL := help
.PHONY: help install up down status logs reset test test-unit test-integration test-crashes units-then-crashes test-long lint types contracts generate bench bench-compare bench-growth bench-watch bench-forecast bench-crm lock image image-development test-image test-compose test-k8s

# Use the first Python that is new enough. PYTHON=/path/to/python names another one.
PYTHON ?= $(shell for each in python3 python3.13 python3.12 python3.11 python3.14; do \
	"$$each" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo "$$each"; exit; }; done; echo python3)
# Each process of a stack imports all packages. Without compiled files this costs 3 s of processor time instead of 1.3 s.
unexport PYTHONDONTWRITEBYTECODE
BIN := .venv/bin
RUN := $(BIN)/python -m
# Each pytest process starts its own servers. Tests of a whole stack run alone. The longest files come first, because a file
# that starts last runs while the other processes are idle. xdist would start the files with the fewest tests last.
SIDE_BY_SIDE := -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder
UNITS := tests/boundary deploy/local/tests deploy/alerts/tests deploy/k8s/tests libs services cli/tests bench/tests tools/tests
# `make test` and CI leave tests/long out.
STACKS := tests/integration tests/browser
TESTS := $(wildcard libs/*/tests services/*/tests) cli/tests deploy/local/tests deploy/alerts/tests deploy/k8s/tests bench/tests tools/tests tests

help:  ## show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 20

install:
	@command -v "$(PYTHON)" >/dev/null 2>&1 || { echo "Python 3.11 or newer is needed and none was found: install python3." >&2; exit 1; }
	@$(if $(filter file,$(origin PYTHON)),,CROSSDOCK_THIS_PYTHON=1) "$(PYTHON)" deploy/local/bootstrap.py install

up: install  ## start everything and replay a trading day (FAST=1: as fast as possible; TOGETHER=1 or 0: one process a service)
	@$(BIN)/crossdock up $(if $(FAST),--fast) $(if $(TOGETHER),$(if $(filter 0,$(TOGETHER)),--apart,--together))

down: install  ## stop everything; the data stays
	@$(BIN)/crossdock down

status: install  ## show the processes, their addresses and their memory
	@$(BIN)/crossdock status

logs: install  ## show the ends of the logs (NAME=kafka: one log)
	@$(BIN)/crossdock logs $(NAME)

reset: install  ## stop everything and delete its data (YES=1: do not ask)
	@$(BIN)/crossdock reset $(if $(YES),--yes)

# The tests of a whole stack wait more than they work, so they run beside the others. Those that crash one follow the
# others on a stack of their own: both halves take as long, and the log that they verify again and again is short. Old
# versions of make cannot sort output.
BESIDE := --no-print-directory -j2 $(if $(filter output-sync,$(.FEATURES)),-O)
test: install  ## run all tests, on their own ports and in their own folder
	@$(MAKE) $(BESIDE) types lint contracts
	@$(MAKE) $(BESIDE) test-integration units-then-crashes

units-then-crashes: test-unit
	@$(MAKE) --no-print-directory test-crashes

test-unit: install  ## run the tests that need no whole stack
	@$(RUN) crossdock_local.console test
	@$(RUN) pytest $(SIDE_BY_SIDE) $(UNITS)

test-integration: install  ## run the tests of a whole stack: across services, and in a browser
	@$(RUN) pytest $(STACKS)

test-crashes: install  ## run the tests that crash parts of a whole stack
	@$(RUN) pytest tests/chaos

test-long: install  ## run the proofs that are too long for `make test` and CI
	@$(RUN) pytest -v -s tests/long

# PYTHON_IMAGE= names another base. CROSSDOCK_IMAGE= names the image.
image:  ## build the image of all services with Docker
	@DOCKER_BUILDKIT=1 docker build $(if $(PYTHON_IMAGE),--build-arg PYTHON_IMAGE=$(PYTHON_IMAGE)) $(BUILD) \
		--build-arg REVISION=$$(git rev-parse HEAD) -t $(or $(CROSSDOCK_IMAGE),crossdock) .

image-development: image  ## build it, and the image that docker-compose.yml adds for development
	@DOCKER_BUILDKIT=1 docker build $(if $(PYTHON_IMAGE),--build-arg PYTHON_IMAGE=$(PYTHON_IMAGE)) $(BUILD) \
		--target development -t $(or $(CROSSDOCK_DEVELOPMENT_IMAGE),crossdock-development) .

test-compose: install image-development  ## run docker-compose.yml: up, replay a day, verify, kill, down, up again
	@$(RUN) pytest -v -s tests/compose

test-k8s: install  ## run the dev overlay on the cluster of KUBECONFIG, whose nodes have the images: apply, replay, verify, kill
	@$(RUN) pytest -v -s tests/k8s

test-image: install image  ## build the image, scan it, and start each service in it
	@$(RUN) pytest -v tests/image

lint: install  ## run ruff, the lint of plain English, and the console's lint
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/python tools/plain_english.py
	@$(RUN) crossdock_local.console lint

# mypy refuses two modules of one name in a run, and each folder of tests has a conftest. So each folder is checked in a run
# of its own, with the folder on the path. All runs share one cache.
types: install  ## run mypy (strict) on the sources, then on each folder of tests, and tsc on the console
	@$(RUN) crossdock_local.console types
	@$(RUN) mypy
	@for each in $(TESTS); do MYPYPATH=$$each:tools $(RUN) mypy $$each || exit 1; done

contracts: install  ## check event contracts, imports between packages, and generated files
	@$(RUN) crossdock_events check
	@$(BIN)/lint-imports
	@$(RUN) crossdock_cli.contracts
	@$(RUN) deploy.k8s
	@$(RUN) crossdock_local.compose

generate: install  ## write schemas, examples, AsyncAPI, OpenAPI and pages (BREAK=1: even if it breaks clients)
	@$(RUN) crossdock_events freeze
	@for each in asyncapi topics docs; do $(RUN) crossdock_events $$each --write || exit 1; done
	@$(RUN) crossdock_cli.contracts write $(if $(BREAK),--break)
	@$(RUN) deploy.k8s write
	@$(RUN) crossdock_local.compose write

bench: install  ## run the benchmark and print one table (ONLY=steady,idle: these parts)
	@$(RUN) bench $(if $(ONLY),--only $(ONLY))

bench-growth: install  ## measure the rates with millions of stored orders (SIZES=10000,1000000)
	@$(RUN) bench growth $(if $(SIZES),--sizes $(SIZES))

bench-watch: install  ## measure the log, the projections and the live streams of analytics-service
	@$(RUN) bench watch

bench-forecast: install  ## measure the forecasts of a recorded year (PARTS=rates,refit: some parts; NIGHT=1000: a shorter night; all take 40 minutes)
	@$(RUN) bench forecast $(if $(PARTS),--parts $(PARTS)) $(if $(NIGHT),--night $(NIGHT))

bench-crm: install  ## measure crm-service with a million customers and open cases (6 minutes)
	@$(RUN) bench crm

bench-compare: install  ## compare two results (OLD=a.json NEW=b.json)
	@$(RUN) bench compare "$(OLD)" "$(NEW)"

lock: install  ## pin all requirements again (UPGRADE=1: to the newest versions)
	@"$(PYTHON)" deploy/local/bootstrap.py lock
	@$(RUN) crossdock_local.console update-lock
