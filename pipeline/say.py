"""What a driver says on stderr, beside its progress."""

import sys


def say(line: str) -> None:
    """One line, known by its first word."""
    print(f"rayrank: {line}", file=sys.stderr, flush=True)
