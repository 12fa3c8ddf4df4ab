"""Files of a model: in its folder on this machine, or of the hub, in whose cache they are put."""

import json
from pathlib import Path
from typing import Any

from actors.rerankers.settings import Settings


class BadFile(ValueError):
    """A file of a model that cannot be read as what it should be. The message names the file."""


def find_model_file(settings: Settings, name: str) -> Path:
    """A file that the model must have. Raises OSError where there is none, or the hub does not answer."""
    if Path(settings.model).is_dir():
        return Path(settings.model) / name
    from transformers.utils import cached_file  # imported here: it takes a second, and a local folder does not need it

    found = cached_file(settings.model, name, revision=settings.revision)
    assert found
    return Path(found)


def find_optional_file(settings: Settings, name: str) -> Path | None:
    """A file that the model may have; None where it has none, or it cannot be had."""
    if Path(settings.model).is_dir():
        path = Path(settings.model) / name
        return path if path.is_file() else None
    from transformers.utils import cached_file  # as above

    quiet = {"_raise_exceptions_for_missing_entries": False, "_raise_exceptions_for_connection_errors": False}
    found = cached_file(settings.model, name, revision=settings.revision, **quiet)
    return Path(found) if found else None


def read_optional_file(settings: Settings, name: str, kind: type = dict) -> Any:
    """The JSON of such a file, or None; raises BadFile where it is of another kind."""
    path = find_optional_file(settings, name)
    return read_json(path, kind) if path else None


def read_json(path: Path, kind: type = dict) -> Any:
    """The JSON of a model's file, of that kind. Raises BadFile where it is no JSON, or of another kind."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadFile(f"{path}: is no JSON ({' '.join(str(error).split())[:200]}); copy or download it again") from None
    if not isinstance(found, kind):
        raise BadFile(f"{path}: should hold a JSON {'object' if kind is dict else 'list'}")
    return found
