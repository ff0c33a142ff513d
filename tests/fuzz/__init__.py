"""Fuzzing of whatever reads a stranger's bytes: `python -m tests.fuzz video|motion|shards [--minutes M] [--seed N]`."""
