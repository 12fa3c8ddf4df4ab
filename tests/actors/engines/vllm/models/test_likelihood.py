"""The log-probabilities of a prompt's last tokens against transformers, for all ways in which vLLM computes prompts."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from actors.engines.vllm.engine import Engine
from actors.engines.vllm.models import register
from actors.rerankers.contract import Reply
from actors.rerankers.rankinggpt import RERANKER, RankingGPT
from actors.worker.watchdog import Watchdog
from tests.actors.conftest import run
from tests.parity import FLOAT32, Reference

SECONDS = 60


@pytest.fixture(scope="module")
def new_engine(tiny_model: Callable) -> Callable[..., Engine]:
    """Makes an engine of the tiny Llama, with blocks of 32 tokens."""

    def make(**arguments: Any) -> Engine:
        settings = RankingGPT(type="rankinggpt", model=tiny_model("llama2"))
        return Engine(
            settings, FLOAT32 | {"block_size": 32} | arguments, RERANKER.request(settings), [], 1800, Watchdog()
        )

    return make


@pytest.fixture(scope="module")
def engine(new_engine: Callable[..., Engine]) -> Engine:
    return new_engine()


@pytest.fixture(scope="module")
def expected(tiny_model: Callable) -> Callable[[Sequence[int], int], np.ndarray]:
    """log p(token | all tokens before it) of the tokens from `boundary` on, by transformers."""
    reference = Reference(tiny_model("llama2"))

    def logprobs(tokens: Sequence[int], boundary: int) -> np.ndarray:
        rows = reference.logits(list(tokens[:-1])).log_softmax(-1)
        return np.array([float(rows[i - 1, tokens[i]]) for i in range(boundary, len(tokens))])

    return logprobs


def prompt(seed: int, length: int) -> list[int]:
    return np.random.default_rng(seed).integers(5, 500, length).tolist()


def replies(engine: Engine, asks: list[tuple[list[int], int]]) -> list[Any]:
    futures = [run(engine, [tokens], boundary) for tokens, boundary in asks]
    found = [future.result(SECONDS)[0] for future in futures]
    assert all(isinstance(reply, Reply) for reply in found)
    return found


ASKS = [
    (prompt(i, length), boundary)
    for i, (length, boundary) in enumerate([(2, 1), (40, 1), (40, 39), (300, 290), (7, 3)])
]


def test_prompts_of_all_lengths_in_one_batch(engine: Engine, expected: Callable) -> None:
    for (tokens, boundary), reply in zip(ASKS, replies(engine, ASKS), strict=True):
        np.testing.assert_allclose(reply.token_logprobs, expected(tokens, boundary), rtol=1e-3)


def test_a_prompt_may_come_in_chunks(new_engine: Callable[..., Engine], expected: Callable) -> None:
    asks = [
        (prompt(7, 100), boundary) for boundary in (1, 16, 17, 60, 99)
    ]  # chunks of 16 tokens: borders at 16, 32, ...
    chunked = new_engine(max_num_batched_tokens=16, max_num_seqs=4, enable_prefix_caching=False)
    for (tokens, boundary), reply in zip(asks, replies(chunked, asks), strict=True):
        np.testing.assert_allclose(reply.token_logprobs, expected(tokens, boundary), rtol=1e-3)


def test_the_document_comes_from_the_prefix_cache(engine: Engine, expected: Callable) -> None:
    doc = prompt(11, 200)
    replies(engine, [([*doc, *prompt(12, 9)], 200)])
    query = [*doc, *prompt(13, 9)]
    (reply,) = replies(engine, [(query, 200)])
    assert 160 <= reply.cached_tokens < 200
    np.testing.assert_allclose(reply.token_logprobs, expected(query, 200), rtol=1e-3)


def test_a_query_that_lies_in_the_prefix_cache_is_computed_afresh(engine: Engine, expected: Callable) -> None:
    tokens = prompt(14, 200)
    replies(engine, [(tokens, 199)])
    (reply,) = replies(engine, [(tokens, 20)])
    assert reply.cached_tokens == 0 and np.isfinite(reply.token_logprobs).all()
    np.testing.assert_allclose(reply.token_logprobs, expected(tokens, 20), rtol=1e-3)


def test_a_prompt_may_be_preempted(
    new_engine: Callable[..., Engine], expected: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight prompts of 400 tokens grow by 64 a step, side by side, in a cache that holds about three of them."""
    crowded = new_engine(
        num_gpu_blocks_override=40,
        max_model_len=1024,
        max_num_seqs=8,
        long_prefill_token_threshold=64,
        enable_prefix_caching=False,
    )
    scheduler: Any = crowded._engine.engine_core.engine_core.scheduler  # type: ignore[attr-defined]
    preempted: list[str] = []
    preempt = scheduler._preempt_request

    def count(request: Any, *arguments: Any, **options: Any) -> None:
        preempted.append(request.request_id)
        preempt(request, *arguments, **options)

    monkeypatch.setattr(scheduler, "_preempt_request", count)
    asks = [(prompt(20 + i, 400), 50 + i) for i in range(8)]
    for (tokens, boundary), reply in zip(asks, replies(crowded, asks), strict=True):
        np.testing.assert_allclose(reply.token_logprobs, expected(tokens, boundary), rtol=1e-3)
    assert preempted


def test_an_architecture_that_vllm_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="NoSuchForCausalLM"):
        register(["NoSuchForCausalLM"], likelihood=True)
    register(["NoSuchForCausalLM"], likelihood=False)  # left to vLLM


def test_the_same_process_can_have_the_model_as_it_was() -> None:
    from vllm import ModelRegistry

    register(["LlamaForCausalLM"], likelihood=False)
    own = ModelRegistry.models["LlamaForCausalLM"]
    register(["LlamaForCausalLM"], likelihood=True)
    assert ModelRegistry.models["LlamaForCausalLM"] is not own
    register(["LlamaForCausalLM"], likelihood=False)
    assert ModelRegistry.models["LlamaForCausalLM"] is own
