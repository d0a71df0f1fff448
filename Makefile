# Every target is one or two commands that can be typed by hand. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# where it is set, each program that a test starts would compile all of its modules anew
unexport PYTHONDONTWRITEBYTECODE
export BECALM_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/becalm
UV_VERSION := 0.13.9
UV := $(BECALM_CACHE)/uv-$(UV_VERSION)/bin/uv
RUN := $(UV) run --no-sync
SYNCED := .venv/.synced
PARALLEL := -n $(shell nproc) --dist loadscope
# these tests wait more than they compute; what disturbs the others runs after them, one by one
AT_ONE_CLUSTER := -n 4 --dist

.PHONY: help setup toolchain lint format unit fuzz compat servers chart e2e faults soak coverage test demo demo-down bench bench-downtime generate \
        cluster-up cluster-down cluster-status image clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  \033[1m%-15s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(UV):
	@echo "==> installing uv $(UV_VERSION) into $(BECALM_CACHE) (a few seconds)"
	python3 -m venv $(BECALM_CACHE)/uv-$(UV_VERSION)
	$(BECALM_CACHE)/uv-$(UV_VERSION)/bin/pip install --quiet uv==$(UV_VERSION)

$(SYNCED): pyproject.toml uv.lock | $(UV)
	@echo "==> installing the locked Python packages into .venv"
	$(UV) sync --locked --quiet
	@touch $@

setup: $(SYNCED) ## the Python environment (.venv)

toolchain: setup ## binaries that the tests run: Kubernetes, S3 server, restic, helm (cached)
	$(RUN) python -m e2e toolchain

lint: setup ## ruff, mypy --strict, import contracts
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(RUN) lint-imports

format: setup ## put the code into the project's format
	$(RUN) ruff check --fix .
	$(RUN) ruff format .

unit: toolchain ## everything below a cluster: pure parts, contract suites, a real S3 server
	$(RUN) pytest $(PARALLEL) tests --ignore tests/compat --ignore tests/chart

fuzz: toolchain ## hours of what `unit` does a sample of: damaged documents, faults at every call, hostile repositories
	HYPOTHESIS_PROFILE=fuzz $(RUN) pytest tests/engine/{fuzz,format,faults,hostile}

compat: toolchain ## real restic reads, checks, restores and continues what we write, and the other way round
	$(RUN) pytest $(PARALLEL) tests/compat

servers: toolchain ## (long, once) the S3 servers that people run, built from source: the storage contract, and a repository's life in each
	$(RUN) pytest -m exhaustive tests/servers

chart: toolchain ## the Helm chart and the examples: lint, schemas, versions, permissions
	$(RUN) pytest $(PARALLEL) tests/chart

e2e: toolchain ## the operator, installed by its chart, on a real cluster
	$(RUN) pytest $(AT_ONE_CLUSTER) load e2e/test_cluster_contract.py
	$(RUN) pytest $(AT_ONE_CLUSTER) worksteal -m "not alone" e2e --ignore e2e/test_cluster_contract.py
	$(RUN) pytest -m alone e2e --ignore e2e/test_cluster_contract.py

faults: toolchain ## (long) every fault in every phase on a real cluster; writes docs/faults.md
	$(RUN) python -m e2e.faults

soak: toolchain ## (long) 200 Backups by schedules on a real cluster, the operator killed at random
	$(RUN) python -m e2e soak

coverage: toolchain ## lines and branches of the engine's inner packages that its tests reach; below 95 % is a failure
	$(RUN) coverage run -m pytest tests/engine
	for package in format policy repository storage; do \
	  $(RUN) coverage report --show-missing --skip-covered --fail-under=95 --include="*/becalm_engine/$$package/*"; \
	done

test: lint unit compat chart e2e ## what CI runs; not in it: fuzz, servers, coverage, faults, soak, bench

demo: toolchain ## the main job on a real cluster, with all its set-up
	$(RUN) python -m e2e demo

demo-down: toolchain ## remove what `make demo` made
	$(RUN) python -m e2e demo --down

bench: toolchain ## measure the engine side by side with its peers
	$(RUN) python -m tests.bench --growth

bench-downtime: toolchain ## (12 minutes) how long a workload is down for a backup, on a real cluster; writes docs/downtime.md
	$(RUN) python -m e2e.downtime

generate: setup ## CRDs, chart parts, and the pages that are written from code and from the chart's values
	$(RUN) python -m becalm_operator.crdgen
	$(RUN) python -m docgen

cluster-up: toolchain ## a real cluster: kind where Docker is, plain processes elsewhere
	$(RUN) python -m e2e cluster up

cluster-down: toolchain ## end that cluster and remove what it left
	$(RUN) python -m e2e cluster down

cluster-status: setup ## what runs
	$(RUN) python -m e2e cluster status

image: toolchain ## build the image and load it into the cluster
	$(RUN) python -m e2e image

clean: ## remove what the checkout made (the cache stays)
	rm -rf .venv dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage
