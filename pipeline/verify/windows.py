"""Windows of rerankers that see whole queries, for a verification: one window of each query that is drawn.

It compares the log-probability of each candidate's letter, from which the order of a window is read. A model
that writes its order has no scores to compare.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from actors.rerankers import RERANKERS, Settings
from actors.rerankers.contract import Prompt
from actors.rerankers.tokenizer import Tokenizer
from pipeline.check.preflight import Checked
from pipeline.errors import UsageError
from pipeline.input.pairs import make_pairs
from pipeline.score.candidates import find_given, order_candidates, split_queries
from pipeline.verify.sample import read_pool
from pipeline.verify.score import Prompts


class Drawn(NamedTuple):
    """The requests to compare. rows: of the input, in their order. prompts: for the engine. lines: what to say.

    places: of each row's score among those that the prompts have. owners: the number of each row's prompt. Pairs
    have one each; the rows of a window share a prompt, which has a score for each label.
    """

    rows: pa.Table
    prompts: Prompts
    lines: list[str]
    places: np.ndarray
    owners: np.ndarray


def check_letters(settings: Settings) -> None:
    """Raises UsageError for a reranker of whole queries that reads no labels."""
    reranker = RERANKERS[settings.type]
    if reranker.whole_query and not reranker.request(settings).labels:
        raise UsageError(
            f"reranker.type = {settings.type!r}: writes its order, and nothing but what it wrote is read; there are "
            "no scores to compare"
        )


def draw_windows(checked: Checked, tokenizer: Tokenizer, wanted: int, seed: int) -> Drawn:
    """Windows of queries drawn by a seed, the best candidates of each, until they have about `wanted` candidates.

    Raises UsageError where no query has two.
    """
    config, settings = checked.config, checked.config.reranker
    reranker, rng = RERANKERS[settings.type], np.random.default_rng(seed)
    assert reranker.whole_query
    labels = len(reranker.request(settings).labels)
    pool = order_candidates(read_pool(checked, wanted, rng), find_given(config))
    queries = [members[:labels] for members in split_queries(pool) if len(members) > 1]
    prompts: Prompts = []
    chosen, places, owners = list[int](), list[int](), list[int]()
    for at in rng.permutation(len(queries)).tolist():
        if len(chosen) >= wanted:
            break
        texts = make_pairs(pool.take(pa.array(queries[at])), settings)
        short = reranker.whole_query.shorten(tokenizer, settings, texts)
        asked = next(reranker.whole_query.rank(tokenizer, settings, short), None)
        if asked:  # else the window does not fit the context
            places += range(labels * len(prompts), labels * len(prompts) + len(short))
            owners += [len(prompts)] * len(short)
            prompts.append([Prompt([np.asarray(asked.sequences[0], np.int32)])])
            chosen += queries[at]
    if not prompts:
        raise UsageError("input.path: no query that was drawn has two candidates and a window that fits the context")
    said = f"{len(prompts)} windows; a score is the log-probability of the candidate's letter in its window"
    return Drawn(pool.take(pa.array(chosen)), prompts, [said], np.array(places), np.array(owners))
