"""Whether two checkouts do the same, seen from outside: python -m tests.compare --old ../old. See __main__.py."""
