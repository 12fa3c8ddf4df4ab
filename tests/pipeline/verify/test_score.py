"""How engines are asked: batches, passages, and answers that are written once."""

from typing import Any

import numpy as np
import pytest

from actors.engines.contract import EngineDied, EngineRequest
from actors.rerankers.contract import Prompt, Reply, Unscored
from pipeline.config import Config, parse
from pipeline.verify.score import Remembering, Scored, score_here


class Asked:
    """An engine whose vector of a text of one side is its first token and 1, and whose answer its tokens again."""

    def __init__(self) -> None:
        self.batches: list[list[list[int]]] = []

    def ask(self, requests: list[EngineRequest], deliver: Any) -> None:
        if requests:
            self.batches.append([request.tokens for request in requests])
        deliver([(request.number, self._answer(request.tokens)) for request in requests])

    def _answer(self, tokens: list[int]) -> Reply | Unscored:
        if tokens[0] == 13:
            return Unscored("unlucky")
        return Reply(tokens, 2, tuple(tokens), vector=np.array([tokens[0], 1.0], np.float32))


@pytest.mark.parametrize(
    ("first", "second", "asked"),
    [
        ([[1, 2]], [[1, 2]], [[[1, 2]]]),
        ([[1, 2]], [[1, 2], [3]], [[[1, 2]], [[3]]]),
        ([[1], [13]], [[13], [1]], [[[1], [13]]]),
    ],
)
def test_what_was_written_is_not_written_again(first: list, second: list, asked: list) -> None:
    engine = Asked()
    remembering = Remembering(engine, {})  # type: ignore[arg-type]
    got: dict[int, Any] = {}
    for sequences in (first, second):
        got.clear()
        requests = [EngineRequest(i, tokens, None, 8) for i, tokens in enumerate(sequences)]
        remembering.ask(requests, lambda replies: got.update(replies))  # type: ignore[arg-type]
        assert {number: reply for number, reply in got.items() if isinstance(reply, Unscored)}.keys() == {
            number for number, tokens in enumerate(sequences) if tokens == [13]
        }
        assert got.keys() == set(range(len(sequences)))
    assert engine.batches == asked
    again = Asked()
    other = Remembering(again, remembering.written)  # type: ignore[arg-type]
    other.ask([EngineRequest(0, second[0], None, 8)], lambda replies: None)
    assert again.batches == []


@pytest.mark.parametrize("max_tokens", [1])
def test_labels_are_read_anew_by_each_engine(max_tokens: int) -> None:
    engine = Asked()
    remembering = Remembering(engine, {})  # type: ignore[arg-type]
    for _ in range(2):
        remembering.ask([EngineRequest(0, [1], None, max_tokens)], lambda replies: None)
    assert len(engine.batches) == 2 and not remembering.written


@pytest.fixture
def config(minilm: str) -> Config:
    reranker = {"type": "bi_encoder", "model": minilm}
    return parse({"input": {"path": "p"}, "output": {"path": "o"}, "reranker": reranker})


def score(config: Config, orders: list, passages: int = 1) -> list[Scored]:
    prompts = [
        [Prompt([np.array([q, q], np.int32), np.array([d + p], np.int32)]) for p in range(passages)] for q, d in PAIRS
    ]
    return score_here(config, prompts, orders, {}, lambda *unused: ENGINE)  # type: ignore[arg-type, return-value]


PAIRS = [(1, 4), (2, 13), (1, 5), (3, 6)]
ENGINE = Asked()


@pytest.mark.parametrize("order", [[[0, 1, 2, 3]], [[3, 0], [2, 1]], [[1], [0], [3], [2]]])
def test_scores_stand_in_the_order_of_the_pairs_whatever_was_asked_together(order: list, config: Config) -> None:
    ENGINE.batches.clear()
    ((scores, reasons, cached, written),) = score(config, [order])
    cosines = [(q * d + 1) / ((q * q + 1) * (d * d + 1)) ** 0.5 for q, d in PAIRS]
    np.testing.assert_allclose(np.delete(scores, 1), np.delete(cosines, 1), rtol=1e-6)
    assert np.isnan(scores[1]) and reasons == [None, "unlucky", None, None]
    assert len(ENGINE.batches) == len(order) and cached > 0 and not written


@pytest.mark.parametrize(("how", "best"), [("max", 0), ("first", 0), ("mean", None)])
def test_passages_make_one_score(how: str, best: int | None, config: Config) -> None:
    passages = {"passages": {"tokens": 8, "score": how}}
    reranker = config.reranker.model_dump() | passages
    config = parse({"input": {"path": "p"}, "output": {"path": "o"}, "reranker": reranker})
    ((scores, *_),) = score(config, [[[0, 1, 2, 3]]], 2)
    each = [[(q * d + 1) / ((q * q + 1) * (d * d + 1)) ** 0.5 for d in (d, d + 1)] for q, d in PAIRS]
    expected = [sum(two) / 2 if best is None else two[0] if how == "first" else max(two) for two in each]
    np.testing.assert_allclose(np.delete(scores, 1), np.delete(expected, 1), rtol=1e-6)


@pytest.mark.parametrize("error", ["CUDA error", "out of memory", "gone"])
def test_an_engine_that_dies_says_so(error: str, config: Config) -> None:
    class Dead:
        def ask(self, requests: list, deliver: Any) -> None:
            deliver(EngineDied(error))

    prompts = [[Prompt([np.array([1], np.int32), np.array([2], np.int32)])]]
    with pytest.raises(EngineDied, match=error):
        score_here(config, prompts, [[[0]]], {}, lambda *unused: Dead())  # type: ignore[arg-type, return-value]
