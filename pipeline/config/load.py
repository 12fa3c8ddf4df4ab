"""A config is one YAML file, then `dotted.key=value` overrides; it is validated whole before anything starts."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pipeline.config.errors import describe_error
from pipeline.config.sections import SECTIONS, Config, Stage
from pipeline.credentials import refuse_credentials
from pipeline.errors import UsageError, one_line


def load(path: str, overrides: list[str] = []) -> Config:
    """Reads and validates a config.

    Raises UsageError with one line that names the key and its value.
    """
    try:
        text = Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot read the config: {getattr(error, 'strerror', None) or error}") from None
    try:
        values = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:  # a ValueError for a date that does not exist, such as 2026-02-30
        raise UsageError(f"{path}: not valid YAML: {_problem(error)}") from None
    if not isinstance(values, dict):
        raise UsageError(f"{path}: a config is a mapping of sections (input, reranker, output, ...)")
    for override in overrides:
        _override(values, override)
    return parse(values)


def _problem(error: Exception) -> str:
    """The fault of a YAML text and its line, without the text of that line."""
    mark = getattr(error, "problem_mark", None)
    return one_line(error) if mark is None else f"line {mark.line + 1}: {getattr(error, 'problem', '')}"


def parse(values: dict[str, Any]) -> Config:
    """Validates a config given as a dictionary. Raises UsageError as `load` does."""
    refuse_credentials(values)
    try:
        return Config.model_validate(_take_last_stage(values))
    except ValidationError as error:
        raise UsageError(describe_error(error, values, Config, Stage)) from None


def _take_last_stage(values: dict[str, Any]) -> dict[str, Any]:
    """The values with the sections of the last stage beside `stages`. Raises UsageError where some stand there."""
    stages = values.get("stages")
    if not stages:
        return values
    if beside := [name for name in SECTIONS if name in values]:
        raise UsageError(
            f"{beside[0]} = {values[beside[0]]!r}: stands beside `stages`, each of which has its own; move it into them"
        )
    last = stages[-1] if isinstance(stages, list) and isinstance(stages[-1], dict) else {}
    return values | {name: last[name] for name in SECTIONS if name in last}


def _override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    names = key.split(".")
    if "://" in key:  # a URL whose key was forgotten
        refuse_credentials(override, "an override")
    refuse_credentials(text, *names)
    if not equals or not all(names):
        raise UsageError(f"{override!r}: an override has the form dotted.key=value")
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        value = text
    if names[0] == "stages" and len(names) > 2:
        values, names = _find_stage(values.get("stages"), names[1]), names[2:]
    for depth, name in enumerate(names[:-1], 1):
        values = values.setdefault(name, {})
        if not isinstance(values, dict):
            raise UsageError(f"{override!r}: {'.'.join(names[:depth])} = {values!r} has no keys below it")
    values[names[-1]] = value


def _find_stage(stages: Any, name: str) -> dict[str, Any]:
    """The stage of this name among the values of a config. Raises UsageError where there is none."""
    named = {stage["name"]: stage for stage in stages or [] if isinstance(stage, dict) and "name" in stage}
    if name not in named:
        raise UsageError(f"stages.{name}: there is no such stage; stages are {', '.join(map(str, named)) or 'none'}")
    return named[name]
