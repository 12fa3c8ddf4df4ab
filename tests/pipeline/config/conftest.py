"""Shared by tests of configs."""

import pytest

from pipeline.config import load
from pipeline.errors import UsageError


def assert_refused(path: str, overrides: str, line: str) -> None:
    """Loading the config with these overrides ends with one line, which has `line` in it."""
    with pytest.raises(UsageError) as error:
        load(path, split_overrides(overrides))
    assert line in str(error.value)
    assert "\n" not in str(error.value)


def split_overrides(overrides: str) -> list[str]:
    """Overrides apart from each other: at a space before the next key."""
    parts: list[str] = []
    for word in overrides.split(" "):
        if not parts or ("=" in word and "." in word.partition("=")[0]) or word == "rows=3":
            parts.append(word)
        else:
            parts[-1] += f" {word}"
    return parts
