# Every target sets up what it needs. `make setup` alone does only that.
#
# tox runs these same targets with BIN=<its environment>/bin, which leaves the set-up out.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

ifdef BIN
setup_done :=
else
BIN := .venv/bin
setup_done := setup
endif

# A Go that scripts/setup brought is in the environment, like every other tool.
export PATH := $(abspath $(BIN)):$(PATH)

PYTEST := $(BIN)/python -m pytest
UNIT := tests/unit
FUNCTIONAL := tests/functional
LAB := tests/lab lab/tests trials/tests
# Shell: what the pods run, by sh and no more, and what developers run.
SCRIPTS := $(filter-out %.j2 %.awk,$(wildcard templates/*)) scripts/setup .ci/run
SHFMT := $(BIN)/shfmt -i 4 -ci
# pytest-operator is left out of all other runs, so it is named here. A real cluster takes its time.
INTEGRATION := $(PYTEST) -p pytest_asyncio.plugin --asyncio-mode=auto -p pytest_operator.plugin \
	--timeout=1800 -x tests/integration

.PHONY: all setup demo bench faults security test lint format static unit functional lab integration collect lock

all: setup

setup:
	@scripts/setup

demo: $(setup_done)
	@$(BIN)/python -m trials.demo $(if $(IMAGE),--image $(IMAGE))

bench: $(setup_done)
	@$(BIN)/python -m trials.bench $(if $(CHARM),--charm $(CHARM)) $(if $(IMAGE),--image $(IMAGE)) \
		$(if $(BESIDE),--beside $(BESIDE)) $(ARGS)

# ARGS takes options, see docs/contribute/run-the-faults.md.
faults: $(setup_done)
	@$(BIN)/python -m trials.faults $(if $(IMAGE),--image $(IMAGE)) $(ARGS)

# The tests run in one pytest, so that the last line counts them all; mostly they wait, so two files at a
# time. `make lab` runs the long ones too.
test: lint static collect
	$(PYTEST) -m "not long" -n 2 --dist loadfile $(UNIT) $(FUNCTIONAL) $(LAB)

lint: $(setup_done)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/shellcheck -x -P . $(SCRIPTS)
	$(SHFMT) -d $(SCRIPTS)

# Each change of passwords and certificates ten times, with the strict bars; nothing else may run.
security: $(setup_done)
	SECURITY_ROUNDS=10 $(PYTEST) tests/lab/security -s

format: $(setup_done)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(SHFMT) -w $(SCRIPTS)

static: $(setup_done)
	$(BIN)/pyright

unit: $(setup_done)
	$(PYTEST) $(UNIT)

functional: $(setup_done)
	$(PYTEST) $(FUNCTIONAL)

lab: $(setup_done)
	$(PYTEST) $(LAB)

# They need a Juju controller on Kubernetes; ARGS takes options, see tests/integration/conftest.py.
integration: $(setup_done)
	$(INTEGRATION) $(ARGS)

# pytest ends with 5 when it finds no test, so an import error or an empty folder fails here.
collect: $(setup_done)
	$(INTEGRATION) --collect-only -q

# After a change in requirements-dev.in or requirements.txt. Needs uv.
lock:
	uv pip compile --quiet --universal --python-version 3.10 --no-annotate \
		--custom-compile-command "make lock" --constraints requirements.txt \
		--output-file requirements-dev.txt requirements-dev.in requirements.txt
