# Each target does all that it needs, on a fresh machine.
PY := .venv/bin/python
OUT ?= out/demo

.PHONY: help setup demo test lint bench lock clean
help:
	@echo 'make setup   .venv from requirements.lock, system libraries included (apt when root)'
	@echo 'make demo    two people from motion that the project makes itself: shards and a page, in $(OUT)'
	@echo 'make test    set-up, lint and all tests'
	@echo 'make lint    ruff and mypy'
	@echo 'make bench   every side-by-side measurement, as one table'
	@echo 'make lock    requirements.lock anew from pyproject.toml'

setup:
	@tools/setup.sh

demo: setup
	$(PY) -m flows.build_dataset --preset demo --out $(OUT)
	$(PY) -m datasets.verify $(OUT)
	@echo 'Open $(OUT)/report/index.html'

lint: setup
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy

test: lint
	$(PY) -m pytest

bench: setup
	$(PY) -m tests.bench

lock: setup
	.venv/bin/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --no-emit-index-url \
		--no-header --generate-hashes --no-annotate -o requirements.lock

clean:
	rm -rf .venv out .pytest_cache .ruff_cache .mypy_cache
