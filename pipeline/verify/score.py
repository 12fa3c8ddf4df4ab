"""Scores a sample by a config's engine, without Ray: each engine in a process of its own, which frees its GPU.

A model that reasons writes its answers once, in the first order of the first engine. All later ones read the scores of
these same answers: two engines seldom write the same thousands of tokens, since a difference in the last digit changes
a word, and all words after it.
"""

import multiprocessing
import os
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from actors.engines import get_engine
from actors.engines.contract import Deliver, Engine, EngineDied, EngineRequest
from actors.rerankers import RERANKERS, Settings
from actors.rerankers.contract import Prompt, Reply, Request, Unscored
from actors.rerankers.passages import join_passages
from actors.rerankers.tokenizer import load_tokenizer
from actors.worker.pending import Pending
from actors.worker.watchdog import Watchdog
from pipeline.config import Config
from pipeline.errors import RunError, one_line

STDOUT, STDERR = 1, 2
Prompts = list[list[Prompt]]  # for each pair, one for each of its passages; their sequences as arrays
Order = list[list[int]]  # the numbers of pairs that are asked for together, batch after batch
Written = dict[tuple[int, ...], Reply | Unscored]  # what a model wrote behind a sequence
Build = Callable[[Settings, dict[str, Any], Request, list[int]], Engine]


class DoesNotFit(RunError):
    """An engine for which there is not enough memory."""


class Scored(NamedTuple):
    """The scores of all pairs by one engine, in one order.

    scores: nan where there is none; then `reasons` says why. Those of windows (windows.py) are of all labels of each,
    one window after the other. cached_tokens: how many of the prompts' tokens the prefix cache had. written: what the
    model wrote for this order, and before.
    """

    scores: np.ndarray
    reasons: list[str | None]
    cached_tokens: int
    written: Written


def score_apart(
    config: Config, prompts: Prompts, orders: Sequence[Order], written: Written, threads: int
) -> list[Scored]:
    """`score_here` in a process of its own. threads: that a CPU engine computes with. Raises RunError where the engine
    cannot be built or breaks, and DoesNotFit where that is for want of memory."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        try:
            return process.submit(_score_in_child, config, prompts, orders, written, threads).result()
        except BrokenProcessPool:
            raise DoesNotFit(
                f"{get_engine(config.engine).name}: its process was killed; was there memory for it?"
            ) from None


def _score_in_child(
    config: Config, prompts: Prompts, orders: Sequence[Order], written: Written, threads: int
) -> list[Scored]:
    os.environ["OMP_NUM_THREADS"] = str(threads)  # torch reads it when it is imported
    os.dup2(STDERR, STDOUT)  # vLLM logs to stdout, which is for figures
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        return score_here(config, prompts, orders, written)
    except Exception as error:  # of any library, and not every one of them can travel
        words = f"{get_engine(config.engine).name}: {type(error).__name__}: {one_line(error)[:600]}"
        raise (DoesNotFit if "memory" in words.lower() else RunError)(words) from None


def _end_with_parent() -> None:
    """Frees the GPU where the job was killed."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def score_here(
    config: Config, prompts: Prompts, orders: Sequence[Order], written: Written, build: Build | None = None
) -> list[Scored]:
    """The scores of all pairs in each order, by one engine in this process. written: what was written before, and is
    not written again. build: makes the engine; by default that of the config. Raises EngineDied."""
    settings, facts = config.reranker, get_engine(config.engine)
    reranker = RERANKERS[settings.type]
    tokenizer, request = load_tokenizer(settings, facts.max_length(config.engine)), reranker.request(settings)
    asked = settings, config.engine, request, tokenizer.label_ids(request.labels)
    if build:
        engine = build(*asked)
    else:
        engine = facts.build_engine(*asked, config.run.stall_seconds, Watchdog(), config.run.deterministic)
    remembering = Remembering(engine, written)
    score: Any = partial(reranker.score, tokenizer, settings)
    if reranker.whole_query:  # whose windows have a score for each label
        score = _read_labels
    scored = []
    for order in orders:
        results: list[Any] = [None] * len(prompts)
        cached = 0
        for batch in order:
            pending = Pending([passage for pair in batch for passage in prompts[pair]], request.max_tokens, score)
            _ask(remembering, pending)
            found, counts = pending.scores(), [len(prompts[pair]) for pair in batch]
            if settings.passages:
                found, _ = join_passages(found, pending.texts(), counts, settings.passages)
            for pair, result in zip(batch, found, strict=True):
                results[pair] = result
            cached += int(pending.figures["cached_tokens"])
        none: Any = np.full(len(request.labels), np.nan) if reranker.whole_query else np.nan
        scores = np.array([none if isinstance(result, Unscored) else result for result in results], np.float64).ravel()
        reasons = [result.reason if isinstance(result, Unscored) else None for result in results]
        scored.append(Scored(scores, reasons, cached, remembering.written))
    return scored


def _read_labels(replies: list[Reply]) -> Any:
    return replies[0].label_logprobs


class Remembering:
    """An engine that keeps what it writes, and does not write it again. It is asked by one thread."""

    def __init__(self, engine: Engine, written: Written):
        self._engine, self.written = engine, dict(written)

    def ask(self, requests: list[EngineRequest], deliver: Deliver) -> None:
        """As actors/engines/contract.py's."""
        writes = {request.number: tuple(request.tokens) for request in requests if request.max_tokens > 1}
        known = {number: tokens for number, tokens in writes.items() if tokens in self.written}

        def keep(replies: Any) -> None:
            if not isinstance(replies, BaseException):
                self.written |= {writes[number]: reply for number, reply in replies if number in writes}
            deliver(replies)

        if known:
            deliver([(number, self.written[tokens]) for number, tokens in known.items()])
        self._engine.ask([request for request in requests if request.number not in known], keep)


def _ask(engine: Remembering, pending: Pending) -> None:
    """Asks the engine until every pair is scored, in this thread."""
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    engine.ask(pending.first, inbox.put)
    while pending.left:
        replies = inbox.get()
        if isinstance(replies, EngineDied):
            raise replies
        engine.ask([more for number, reply in replies for more in pending.take(number, reply)], inbox.put)
