"""A corpus of bad input with the outcome that each must have: `python -m tests.hostile --out DIR`."""
