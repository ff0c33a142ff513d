# Each target does all that it needs, on a fresh machine.
PY := .venv/bin/python
OUT ?= out/demo
EVIDENCE ?= out/evidence
KILLS ?= 100
SEED ?= 1
MINUTES ?= 10
# Of the tests, at most; a process for each core. 0: all in one process, in which a debugger works.
JOBS ?= 4

.PHONY: help setup demo test lint bench torture fuzz hostile evidence lock clean
help:
	@echo 'make setup   .venv from requirements.lock, system libraries included (apt when root)'
	@echo 'make demo    two people from motion that the project makes itself: shards and a page, in $(OUT)'
	@echo 'make test    set-up, lint and all tests'
	@echo 'make lint    ruff and mypy'
	@echo 'make bench   every side-by-side measurement, as one table'
	@echo 'make torture builds killed, starved and damaged at random, each compared with an undisturbed one; half an hour'
	@echo 'make fuzz    the readers of video, motion and shards, ten minutes each'
	@echo 'make hostile every bad file that we know of, and what becomes of it'
	@echo 'make evidence  networks with and without parts of binding, trained and compared: $(EVIDENCE)'
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
	$(PY) -m pytest -n $(if $(filter 0,$(JOBS)),0,logical --maxprocesses $(JOBS))

bench: setup
	$(PY) -m tests.bench

torture: setup
	$(PY) -m tests.torture --kills $(KILLS) --seed $(SEED)

fuzz: setup
	$(PY) -m tests.fuzz video --minutes $(MINUTES) --seed $(SEED)
	$(PY) -m tests.fuzz motion --minutes $(MINUTES) --seed $(SEED)
	$(PY) -m tests.fuzz shards --minutes $(MINUTES) --seed $(SEED)

hostile: setup
	$(PY) -m tests.hostile --out out/hostile

# Choreographed duets, shards of them, then every variant with two seeds; an hour on two cores.
evidence: setup
	$(PY) -m flows.choreograph out/scenes --count 120 --people 2 --seed 1 \
		--scenario pass_behind --scenario swap_places --scenario turn_about
	$(PY) -m flows.build_dataset out/scenes --out out/duets --set render.width=128 --set render.height=128 \
		--set render.fps=12 --set render.depth=false --set shard.test_fraction=0.2 --set shard.val_fraction=0
	$(PY) -m model.evidence --shards out/duets --out $(EVIDENCE) --seeds 0 1 --jobs 2 \
		--set train.steps=1000 --set train.sample_every=0 --set train.save_every=250

lock: setup
	.venv/bin/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --no-emit-index-url \
		--no-header --generate-hashes --no-annotate -o requirements.lock

clean:
	rm -rf .venv out .pytest_cache .ruff_cache .mypy_cache
