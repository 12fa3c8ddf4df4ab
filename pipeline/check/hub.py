"""A model's tokenizer where the hub may be away for a moment."""

import random
import time

from actors.rerankers import Settings
from actors.rerankers.tokenizer import Tokenizer, load_tokenizer
from pipeline.storage.retry import RETRY_WAITS


def is_away(error: BaseException) -> bool:
    """Whether the hub did not answer, or had too much to do: it may be back later."""
    if isinstance(error, OSError) and "connect" in str(error):  # transformers' words, for every answer but "not found"
        return True
    return isinstance(error, TimeoutError) or type(error).__module__.startswith(("httpx", "httpcore"))


def load_tokenizer_patiently(settings: Settings, limit: int) -> Tokenizer:
    """The tokenizer of a model. A hub that is away is asked again, for a new node asks when the run is under way."""
    for wait in RETRY_WAITS:
        try:
            return load_tokenizer(settings, limit)
        except Exception as error:  # of the hub's client and of transformers
            if not is_away(error):
                raise
        time.sleep(wait * random.uniform(0.5, 1))
    return load_tokenizer(settings, limit)
