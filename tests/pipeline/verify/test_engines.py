"""vLLM in this process, with its prefix cache and without."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pipeline.config import Config
from tests.parity import FLOAT32
from tests.pipeline.verify.conftest import LABEL, PAIRS, verify_here

VLLM = FLOAT32 | {"type": "vllm", "max_model_len": 1024}


@pytest.mark.parametrize(
    ("name", "reranker", "ways"),
    [
        ("qwen2", LABEL, ["vLLM, in other batches", "vLLM, without prefix cache", "transformers in float32"]),
        ("bert", {"type": "cross_encoder"}, ["vLLM, in other batches", "transformers in float32"]),
    ],
)
def test_vllm_is_compared_with_itself_and_with_transformers(
    name: str, reranker: dict[str, Any], ways: list[str], tiny_model: Callable, make: Callable[..., Config]
) -> None:
    """An encoder has no prefix cache that could be switched off."""
    length = {"max_model_len": 512} if name == "bert" else {}
    verdict = verify_here(make(tiny_model(name), reranker, **VLLM | length))
    assert [found.name for found in verdict.comparisons] == ways
    assert verdict.faults == [] and verdict.comparisons[-1].pairs == PAIRS
    own, *others = verdict.scores.values()
    assert len(np.unique(own)) > PAIRS / 2 and np.abs(own - others[-1]).max() > 0
