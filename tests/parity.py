"""Parity: each family's scores must be those of transformers on the same tiny model, to a relative RTOL.

`score_pairs` runs a real engine in this process, with the family's own prompt and score functions; `Reference` is the
same model by transformers. (tests/actors/rerankers/test_whole_job.py compares whole jobs.)
"""

import itertools
import json
import queue
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from actors.engines import get_engine
from actors.engines.contract import Engine, EngineDied
from actors.rerankers import RERANKERS, Settings
from actors.rerankers.contract import (
    WINDOW_FIGURES,
    Conversation,
    FollowUp,
    Pair,
    Prompt,
    Ranking,
    Reply,
    Request,
    Unscored,
)
from actors.rerankers.tokenizer import load_tokenizer
from actors.worker.pending import Pending
from actors.worker.queries import PendingQueries
from actors.worker.watchdog import Watchdog
from tests.file_tokenizer import FileTokenizer

RTOL = 1e-3
SECONDS = 120  # longer than any step takes
FLOAT32 = {"dtype": "float32", "enforce_eager": True, "kv_cache_memory_bytes": 2**26}  # for vLLM
# Two ways in which vLLM must get the same numbers: with a prefix cache, and with every prompt computed in chunks. And
# transformers, with several batches in each window.
ENGINES: dict[str, dict[str, Any]] = {
    "cached": {"enable_prefix_caching": True},
    "chunked": {
        "enable_prefix_caching": False,
        "enable_chunked_prefill": True,
        "max_num_batched_tokens": 48,
        "max_num_seqs": 16,
    },
    "transformers": {"type": "transformers", "dtype": "float32", "max_num_batched_tokens": 1024},
}
SLOW = pytest.mark.slow
BOTH = ["cached", pytest.param("chunked", marks=SLOW), "transformers"]  # engines
QUERIES = [
    "What is the scientific name of apples?",
    "a",
    "7",
    "  two spaces on either side  ",
    "price of 1,234.56 EUR in 2024?",
    "Où est la bibliothèque ?",
    "什么是苹果的学名",
    "line one\nline two\n",
    "def f(x): return x ** 2  # what does it do?",
    "🍎🍏 vs 🍐",
    "how " * 60 + "deep is it",
    "<<<Context>>> {query} %s \\n &amp;",
]
DOCS = [
    "An apple is a round, edible fruit produced by an apple tree (Malus domestica).",
    "x",
    "1 2 3 4 5 6 7",
    " \t leading and trailing \t ",
    "In 2024 it cost 1,234.56 EUR; in 2019, 987.",
    "La bibliothèque est au bout de l'allée — à gauche.",
    "苹果是蔷薇科苹果属的落叶乔木,学名 Malus domestica。",
    "one\n\ntwo\r\n\r\n\r\nthree\n",
    "def f(x):\n    if x:\n        return [i for i in range(x)]\n    return None\n",
    "e\u0301 is e and an accent; \u00e9 is one character; \u200b is none to see; \U0001f469\u200d\U0001f680 is three.",
    "٣٤٥ नमस्ते ħęłło ﬁ ½ 한국어",
    "I'll say it's what they'd've done -- \"isn't it?\" ... (yes!) @user #tag https://example.org/?a=1&b=2",
    "<<<Query>>>\nanother query\n\n<<<Context>>>\n",
    "apple " * 40,
    "The quick brown fox jumps over the lazy dog, and 14 others. " * 30,
    "文字が多い文書。" * 60,
    "{'a': [1, 2.5, -3e-7], \"b\": null}\n" * 40,
    "word" * 300,
]
PAIRS = list(itertools.product(QUERIES, DOCS))
SOME_PAIRS = PAIRS[::5]  # 44, with every query and every document, for models that generate, or engines that are slow


class Scored(NamedTuple):
    """The result of one pair.

    score: None if there is none; then `reason` says why. text: the generations, None without any. replies: the
    engine's replies that a score was computed from.
    """

    score: float | None
    reason: str | None
    text: str | None
    replies: list[Reply]


def score_pairs(
    reranker: dict[str, Any],
    engine: dict[str, Any],
    pairs: Sequence[tuple[str, str]] = PAIRS,
    instructions: Sequence[str | None] | None = None,
) -> list[Scored]:
    """The results of (query, document) pairs, in their order.

    reranker, engine: the sections of a config. instructions: one for each pair, None for the family's default.
    """
    family = RERANKERS[reranker["type"]]
    settings = family.settings(**reranker)
    tokenizer, request = load_tokenizer(settings, engine.get("max_model_len")), family.request(settings)
    default = getattr(settings, "instruction", None)
    rows = zip(pairs, instructions or [None] * len(pairs), strict=True)
    made = family.prompt(tokenizer, settings, [Pair(*pair, own or default) for pair, own in rows])
    prompts = [
        prompt._replace(sequences=[np.array(ids, dtype=np.int32) for ids in prompt.sequences])
        for prompt in made
        if isinstance(prompt, Prompt)
    ]
    used: dict[tuple[int, ...], list[Reply]] = {}

    def score(replies: list[Reply]) -> float | Unscored | FollowUp:
        result = family.score(tokenizer, settings, replies)
        if isinstance(result, float):
            used[tuple(replies[0].prompt)] = list(replies)
        return result

    pending = Pending(prompts, request.max_tokens, score)
    run_pending(pending, shared_engine(settings, engine, request, tokenizer.label_ids(request.labels)))
    done = zip(prompts, pending.scores(), pending.texts(), strict=True)
    results = []
    for prompt in made:
        if isinstance(prompt, Unscored):
            results.append(Scored(None, prompt.reason, None, []))
            continue
        with_arrays, result, text = next(done)
        if isinstance(result, Unscored):
            results.append(Scored(None, result.reason, text, []))
        else:
            results.append(Scored(result, None, text, used.get(tuple(with_arrays.sequences[0].tolist()), [])))
    return results


class Ranked(NamedTuple):
    """The outcome of a query. scores, texts: of its candidates. replies: the engine's, in the order of the windows."""

    scores: list[float | Unscored]
    texts: list[str | None]
    replies: list[Reply]


def rank_queries(
    reranker: dict[str, Any], engine: dict[str, Any], queries: Sequence[Sequence[Pair]]
) -> tuple[list[Ranked], dict[str, float]]:
    """The outcome of the candidates of each query, and the figures of all.

    reranker, engine: the sections of a config, of a family that sees a query's candidates together.
    """
    family = RERANKERS[reranker["type"]]
    settings = family.settings(**reranker)
    tokenizer, request = load_tokenizer(settings, engine.get("max_model_len")), family.request(settings)
    seen = family.whole_query
    assert seen
    replies: dict[int, list[Reply]] = {}

    def rank(candidates: list[Pair]) -> Conversation:
        own = replies.setdefault(len(replies), [])
        conversation = seen.rank(tokenizer, settings, candidates)
        asked = next(conversation, None)
        while asked is not None:
            got = yield asked
            own += [reply for reply in got if isinstance(reply, Reply)]
            try:
                asked = conversation.send(got)
            except StopIteration as end:
                return end.value
        return Ranking([0.0], [None], dict.fromkeys(WINDOW_FIGURES, 0))  # of one candidate

    short = [seen.shorten(tokenizer, settings, [*candidates]) for candidates in queries]
    pending = PendingQueries(short, rank, request.max_tokens > 1)
    run_pending(pending, shared_engine(settings, engine, request, tokenizer.label_ids(request.labels)))
    rows = zip(pending.scores(), pending.texts(), replies.values(), strict=True)
    return [Ranked(*row) for row in rows], pending.figures


def run_pending(pending: Pending | PendingQueries, engine: Engine) -> None:
    """Asks the engine until every pair is scored, in this thread."""
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    engine.ask(pending.first, inbox.put)
    while pending.left:
        replies = inbox.get(timeout=SECONDS)
        if isinstance(replies, EngineDied):
            raise replies
        engine.ask([more for number, reply in replies for more in pending.take(number, reply)], inbox.put)


def shared_engine(
    settings: Settings, arguments: dict[str, Any], request: Request, label_ids: Sequence[int] = ()
) -> Engine:
    """An engine in float32, shared by all tests of this process with the same model, arguments and request."""
    given = arguments if "type" in arguments else FLOAT32 | arguments
    return _build_engine(settings.model, settings.adapter, json.dumps(given), request, tuple(label_ids))


@cache  # an engine lives as long as its thread, which is as long as the process
def _build_engine(
    model: str,
    adapter: str | None,
    arguments: str,
    request: Request,
    label_ids: tuple[int, ...],
) -> Engine:
    settings = Settings(type="", model=model, adapter=adapter)
    given = json.loads(arguments)
    return get_engine(given).build_engine(settings, given, request, [*label_ids], 1800, Watchdog(), False)


def scores(results: Sequence[Scored]) -> np.ndarray:
    """The scores of results; nan where there is none."""
    return np.array([result.score for result in results], dtype=np.float64)


def assert_same(got: np.ndarray, expected: np.ndarray, atol: float = 0) -> None:
    """Asserts that at least 95% of the scores exist, that they spread, and that each is the expected one.

    atol: for scores of either sign, where those near 0 are small differences of large numbers.
    """
    there = ~np.isnan(got)
    assert there.mean() >= 0.95, f"{(~there).sum()} of {len(got)} pairs have no score"
    assert len(np.unique(got[there].round(6))) > len(got) / 4, "scores that do not spread prove nothing"
    np.testing.assert_allclose(got[there], expected[there], rtol=RTOL, atol=atol)


class Reference:
    """A causal language model by transformers, and its tokenizer. Its logits are float32, whatever its weights are."""

    def __init__(self, model: str, dtype: torch.dtype = torch.float32):
        self.tokenizer = FileTokenizer(model)
        self.model = AutoModelForCausalLM.from_pretrained(model, dtype=dtype)

    @torch.no_grad()
    def logits(self, ids: list[int]) -> torch.Tensor:
        """The logits at every position. Shape (tokens, vocabulary)."""
        return self.model(input_ids=torch.tensor([ids])).logits[0].float()

    def logprobs(self, ids: list[int]) -> torch.Tensor:
        """The log-probabilities of the next token. Shape (vocabulary,)."""
        return self.logits(ids)[-1].log_softmax(-1)
