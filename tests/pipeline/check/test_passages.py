"""Passages that are longer than what the model reads of a document."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.check.model import check_tokenizer
from pipeline.errors import UsageError
from tests.pipeline.check.conftest import LABEL, make_config

# The last two: tokens beside a document, with a query "a"; and how many of these max_doc_tokens counts
FAMILIES: list[tuple[str, str, dict[str, Any], int, int]] = [
    ("qwen2", "label", LABEL, 2, 0),  # "a" and a blank
    ("bert", "cross_encoder", {}, 4, 0),  # [CLS] a [SEP] [SEP]
    ("bert", "bi_encoder", {}, 2, 2),  # [CLS] [SEP]
]


@pytest.mark.parametrize(("model", "kind", "own", "beside", "counted"), FAMILIES, ids=[each[1] for each in FAMILIES])
@pytest.mark.parametrize(
    ("tokens", "max_doc_tokens", "context", "cut"),
    [
        (64, None, 64, True),
        (60, None, 64, False),
        (60, 59, 64, True),
        (400, 100, 512, True),
        (100, 102, 512, False),
        (513, None, 512, True),
    ],
)
def test_passages_that_would_be_cut_are_refused(
    model: str,
    kind: str,
    own: dict[str, Any],
    beside: int,
    counted: int,
    tokens: int,
    max_doc_tokens: int | None,
    context: int,
    cut: bool,
    built: Callable[[str], Path],
) -> None:
    room = min(context - beside, (max_doc_tokens or context) - counted)
    settings = own | {"passages": {"tokens": tokens}, "max_doc_tokens": max_doc_tokens}
    config = make_config(built(model), kind, {"max_model_len": context}, **settings)
    assert cut == (tokens > room), "what is expected, counted"
    if not cut:
        check_tokenizer(config)
        return
    with pytest.raises(UsageError, match=rf"reranker.passages.tokens = {tokens}: a passage of that length"):
        check_tokenizer(config)
