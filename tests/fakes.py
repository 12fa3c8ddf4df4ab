"""Scorers of known scores, for tests of the dataflow: no engine, no model, the rest of the actor as it is."""

import zlib
from collections.abc import Sequence
from typing import Any

from actors.rerankers.contract import Prompt
from actors.worker.actor import Scorer
from actors.worker.failures import Result
from actors.worker.pending import FIGURES


class KnownScorer(Scorer):
    """Scores a pair by a hash of its tokens: any two runs agree to the bit, however the work is spread."""

    def build_engine(self, *unused: Any) -> None:
        """No engine."""

    async def score_prompts(self, prompts: Sequence[Prompt]) -> Result:
        scores = [known_score([tokens.tolist() for tokens in prompt.sequences]) for prompt in prompts]
        tokens = sum(len(sequence) for prompt in prompts for sequence in prompt.sequences)
        return Result([*scores], [None] * len(prompts), FIGURES | {"prompt_tokens": tokens})


def known_score(sequences: list[list[int]]) -> float:
    """A number in [0, 1) that depends on the token ids alone."""
    return zlib.crc32(repr(sequences).encode()) / 2**32


class KnownQueries(KnownScorer):
    """Scores a candidate of a query by a hash of its texts and its place, and writes the place and the document of it.
    Pairs that are scored each by itself it scores as KnownScorer does."""

    async def score_prompts(self, prompts: Sequence[Any]) -> Result:
        if not isinstance(prompts[0], list):
            return await super().score_prompts(prompts)
        scores = [[score_at(pair.query, pair.doc, i) for i, pair in enumerate(query)] for query in prompts]
        texts = [[f"{i} {pair.doc}" for i, pair in enumerate(query)] for query in prompts]
        return Result(scores, texts, FIGURES)


def score_at(query: str, doc: str, place: int) -> float:
    """A number in [0, 1) that depends on texts and the place, from 0, alone."""
    return zlib.crc32(repr((query, doc, place)).encode()) / 2**32


class FreeScorer(KnownScorer):
    """Gives every pair the same score at no cost, for measures of everything around the engine."""

    async def score_prompts(self, prompts: Sequence[Prompt]) -> Result:
        return Result([0.5] * len(prompts), [None] * len(prompts), FIGURES)
