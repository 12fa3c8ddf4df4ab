"""Whether two checkouts do the same, seen from outside: python -m tests.compare --old /work/old. See __main__.py."""
