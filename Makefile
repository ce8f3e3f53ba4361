# What people and the CI call. Everything runs from .venv, which is made when first needed and renewed when
# pyproject.toml changes. PYTHON=... chooses the interpreter, PYTEST="-k name -x" adds options to the tests.

PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python3.14; do \
	if $$python -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then echo $$python; break; fi; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
PYTEST ?=
BENCH ?=

.PHONY: help setup programs demo test lint interop deep soak bench bench-micro clean

help: ## Show this
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 13

setup: .venv/tools ## Make .venv with everything that work on the project needs

programs: ## Install the BitTorrent programs that the tests run against (Debian, as root)
	@.ci/install_programs

demo: .venv/product ## See it work: a local swarm, with proof
	$(BIN)/anabranch demo

test: .venv/tools programs ## Run all tests but the long ones
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 4 --dist worksteal -m "not deep and not soak" $(PYTEST)

lint: .venv/tools ## Check style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

interop: .venv/tools programs ## Run all tests against real BitTorrent programs, the long ones too
	$(BIN)/python -m pytest -m interop $(PYTEST)

deep: .venv/tools programs ## Run the long tests, one after the other: they measure
	$(BIN)/python -m pytest -m deep $(PYTEST)

soak: .venv/tools programs ## Web seeds in trouble, 10,000 torrents at one tracker, a DHT under attack: ten minutes each; SECONDS=60 for less
	ANABRANCH_SOAK=$(or $(SECONDS),600) $(BIN)/python -m pytest -m soak -s $(PYTEST)

bench: .venv/tools programs ## Measure against other BitTorrent programs, about half an hour; BENCH="NAME-GLOB --rounds 1" for less
	$(BIN)/python -m benchmarks $(BENCH)

bench-micro: .venv/tools ## Count and time single steps of the engine, and compare with the last time
	$(BIN)/python -m benchmarks.micro --time $(BENCH)

clean: ## Remove caches and what builds left; .venv stays
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is as new as the last install from that pyproject.toml. The one with the tools serves for both.
.venv/product: pyproject.toml | $(BIN)/python
	$(PIP) -e .
	@touch $@

.venv/tools: pyproject.toml | $(BIN)/python
	$(PIP) -e '.[test,lint,bench]'
	@touch .venv/product $@

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "anabranch needs Python 3.11 or later with venv: set PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv --clear .venv
