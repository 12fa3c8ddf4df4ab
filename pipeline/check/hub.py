"""Files of a model, on this machine or the hub, which may be away for a moment."""

import random
import re
import time
from pathlib import Path
from typing import Any

from actors.rerankers import Settings
from actors.rerankers.files import find_model_file, read_json
from actors.rerankers.tokenizer import Tokenizer, load_tokenizer
from pipeline.storage.retry import RETRY_WAITS

AWAY = ("couldn't connect to", "a specific connection error")  # transformers' words, for all answers but "not found"


def is_away(error: BaseException) -> bool:
    """Whether the hub did not answer, or had too much to do: it may be back later."""
    if isinstance(error, OSError) and any(words in str(error) for words in AWAY):
        return True
    return isinstance(error, TimeoutError) or type(error).__module__.startswith(("httpx", "httpcore"))


def load_tokenizer_patiently(settings: Settings, limit: int | None) -> Tokenizer:
    """The tokenizer of a model. A hub that is away is asked again, for a new node asks when the run is under way."""
    for wait in RETRY_WAITS:
        try:
            return load_tokenizer(settings, limit)
        except Exception as error:  # of the hub's client and of transformers
            if not is_away(error):
                raise
        time.sleep(wait * random.uniform(0.5, 1))
    return load_tokenizer(settings, limit)


def read_model_config(settings: Settings) -> tuple[dict[str, Any], str | None]:
    """A model's config.json, and the commit of the hub's files; None for a local folder."""
    path = find_model_file(settings, "config.json")
    return read_json(path), None if Path(settings.model).is_dir() else find_commit(path)


def find_commit(path: Path) -> str | None:
    """The commit that a file in the hub's cache is of."""
    found = re.search(r"/snapshots/([0-9a-f]{40})/", str(path))
    return found[1] if found else None
