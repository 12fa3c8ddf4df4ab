"""A dry run of rerankers that see whole queries, against the windows that a run asks for."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from actors.rerankers import RERANKERS
from actors.rerankers.contract import Pair, Reply
from actors.rerankers.tokenizer import load_tokenizer
from pipeline.config import Config
from pipeline.estimate.dry_run import dry_run
from pipeline.estimate.rate import make_rate
from pipeline.estimate.sizes import Sizes
from pipeline.estimate.text import describe_estimate

SIZES = [1, 2, 20, 21, 30, 47, 100]  # candidates of queries, and their windows of 20, by 10
WINDOWS = [0, 1, 1, 2, 2, 4, 9]
ENGINE = {"max_model_len": 4096}


def rows(sizes: list[int]) -> dict[str, Any]:
    """Queries of these sizes; the lower a score, the better, and the last row is the best."""
    rng = np.random.default_rng(0)
    words = ["apple", "river", "of", "night", "x", "running"]
    return {
        "query_id": [f"q{q}" for q, size in enumerate(sizes) for _ in range(size)],
        "query": [f"what is {q}?" for q, size in enumerate(sizes) for _ in range(size)],
        "doc_id": [f"d{d}" for size in sizes for d in range(size)],
        "doc": [" ".join(rng.choice(words, rng.integers(1, 40))) for size in sizes for _ in range(size)],
        "score": [float(d) for size in sizes for d in range(size)],
    }


def count_tokens(config: Config, table: dict[str, Any], answers: Callable[[int], np.ndarray]) -> list[int]:
    """Tokens of each window of all queries, with these letters' log-probabilities as answers."""
    settings = config.reranker
    tokenizer = load_tokenizer(settings, ENGINE["max_model_len"])
    whole = RERANKERS[settings.type].whole_query
    assert whole
    lengths: list[int] = []
    for query in dict.fromkeys(table["query_id"]):
        at = [i for i, other in enumerate(table["query_id"]) if other == query]
        at.sort(key=lambda i: -table["score"][i])
        pairs = [Pair(table["query"][i], table["doc"][i]) for i in at]
        talk = whole.rank(tokenizer, settings, whole.shorten(tokenizer, settings, pairs))
        asked = next(talk, None)
        while asked:
            lengths += map(len, asked.sequences)
            try:
                asked = talk.send([Reply(ids, label_logprobs=answers(20)) for ids in asked.sequences])
            except StopIteration:
                break
    return lengths


@pytest.mark.parametrize("unit_rows", [1, 1000])
def test_every_window_of_a_small_input_is_counted(unit_rows: int, lb_config: Callable, write_pairs: Callable) -> None:
    table = rows(SIZES)
    config = lb_config(write_pairs(**table), reranker={"type": "first"}, engine=ENGINE, run={"unit_rows": unit_rows})
    about = dry_run(config)
    lengths = count_tokens(config, table, lambda size: np.zeros(size))
    assert about["windows"] == len(lengths) == sum(WINDOWS)
    assert about["prompt_tokens"] == pytest.approx(sum(lengths), rel=0.06)  # which passages meet depends on answers
    assert about["tokens_per_prompt"]["max"] == pytest.approx(max(lengths), rel=0.1)
    assert "new_tokens" not in about
    assert f"{sum(WINDOWS)} windows" in "\n".join(describe_estimate(about))


def test_queries_are_drawn_whole(lb_config: Callable, write_pairs: Callable) -> None:
    table = rows([47, 5, 20, 100, 33] * 8)
    config = lb_config(write_pairs(**table), reranker={"type": "first"}, engine=ENGINE, run={"unit_rows": 50})
    about, lengths = dry_run(config, sizes=Sizes(units=10, rows=400)), count_tokens(config, table, np.zeros)
    assert about["sampled"]["units"] == 10
    assert about["windows"] == pytest.approx(len(lengths), rel=0.15)
    assert about["prompt_tokens"] == pytest.approx(sum(lengths), rel=0.15)


def test_what_is_written_is_of_windows(lb_config: Callable, write_pairs: Callable) -> None:
    reranker = {"type": "listwise", "max_new_tokens": 50}
    about = dry_run(lb_config(write_pairs(**rows(SIZES)), reranker=reranker, engine=ENGINE), make_rate(10))
    assert about["new_tokens"] == [sum(WINDOWS), 50 * sum(WINDOWS)]
    assert about["worker_hours"]["expected"] == pytest.approx(sum(SIZES) / 10 / 3600)


def test_passages_that_are_cut_are_warned_of(lb_config: Callable, write_pairs: Callable) -> None:
    reranker = {"type": "first", "max_passage_words": 3}
    about = dry_run(lb_config(write_pairs(**rows(SIZES)), reranker=reranker, engine=ENGINE))
    assert any("of the candidates lose a part of their text" in line for line in about["warnings"])
