.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
STUBS := protos/panglot/v1
BENCHMARKS := end_to_end streams engine_overhead adapter_batch adapter_swap precision

.PHONY: help setup demo serve test test-all check format proto bench clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: .venv/.done ## virtual environment with everything in it

.venv/.done: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	@echo "installing torch (CPU), then panglot with what it needs: a few minutes the first time"
	$(BIN)/pip install --progress-bar on -c constraints.txt torch==2.13.0
	$(BIN)/pip install --progress-bar on -c constraints.txt -e '.[dev]'
	@touch $@

demo: setup ## real clips through the whole stack, live
	$(BIN)/panglot demo

serve: setup ## the whole stack on this machine, until Ctrl-C
	$(BIN)/panglot serve

test: setup ## all tests that need neither a GPU nor minutes
	$(BIN)/pytest

test-all: setup ## the slow ones too, and those for a GPU where there is one
	$(BIN)/pytest -m ''

check: setup ## format, lint, types, protos, manifests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	cd protos && ../$(BIN)/buf lint
	$(BIN)/python -m tests.generated_stubs
	$(BIN)/python -m tests.manifests

format: setup ## rewrite in the project's style
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

proto: setup ## regenerate the stubs from protos/
	PATH=$(BIN):$$PATH python -m grpc_tools.protoc -Iprotos --python_out=protos --grpc_python_out=protos \
		--mypy_out=protos --mypy_grpc_out=protos $(STUBS)/*.proto

bench: .venv/.bench ## every benchmark; results in benchmarks/results
	for name in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$name || exit; done

.venv/.bench: .venv/.done
	$(BIN)/pip install --progress-bar on -c constraints.txt -e '.[bench]'
	@touch $@

clean: ## forget the environment and caches
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache *.egg-info
