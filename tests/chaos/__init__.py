"""Runs that are disturbed on purpose: python -m tests.chaos, or make chaos. See __main__.py."""
