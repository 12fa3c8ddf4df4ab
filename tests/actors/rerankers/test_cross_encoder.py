"""Sequence-classification models against transformers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from transformers import AutoModelForSequenceClassification

from actors.rerankers.contract import Pair, Prompt, Reply, Unscored
from actors.rerankers.cross_encoder import RERANKER, CrossEncoder
from actors.rerankers.tokenizer import Tokenizer
from tests.file_tokenizer import FileTokenizer
from tests.parity import ENGINES, PAIRS, SLOW, SOME_PAIRS, assert_same, score_pairs, scores

LENGTH = 400
RANKLLAMA = {"query_template": "query: {query}", "doc_template": "document: {doc}"}
# A pair as each tokenizer encodes it: what is never cut, the document, and what stands behind it
Frame = tuple[str, str, str]
Pairs = list[tuple[str, str]]
FRAMES: dict[str, Frame] = {
    "xlm_roberta": ("<s>{query}</s></s>", "{doc}", "</s>"),
    "modernbert": ("[CLS]{query}[SEP]", "{doc}", "[SEP]"),
    "bert": ("[CLS]{query}[SEP]", "{doc}", "[SEP]"),
    "monobert": ("[CLS]{query}[SEP]", "{doc}", "[SEP]"),
    "deberta_v3": ("[CLS]{query}[SEP]", "{doc}", "[SEP]"),  # as mxbai-rerank-v1
    "llama_classifier": ("<s>query: {query}<s>", "document: {doc}", ""),  # as RankLLaMA
}
unused: Any = None  # the tokenizer


def prompt(tokenizer: FileTokenizer, frame: Frame, query: str, doc: str, length: int = 4096) -> tuple[list[int], int]:
    """The ids, with the end of the document cut; and where the document begins."""
    first, text, last = (
        tokenizer.fill(frame[0], query=query),
        tokenizer.fill(frame[1], doc=doc),
        tokenizer.fill(frame[2]),
    )
    return first + text[: length - len(first) - len(last)] + last, len(first)


@torch.no_grad()
def expected(
    folder: str, name: str, dtype: torch.dtype = torch.float32, device: str = "cpu", pairs: Pairs = PAIRS
) -> np.ndarray:
    """The logits of pairs by transformers, or the second label's less the first's. name: the model's in FRAMES."""
    tokenizer = FileTokenizer(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=dtype).eval().to(device)
    logits = []
    for pair in pairs:
        ids, boundary = prompt(tokenizer, FRAMES[name], *pair, LENGTH)
        inputs = {"input_ids": torch.tensor([ids], device=device)}
        if name in ("bert", "monobert"):  # those with a type for each text
            inputs["token_type_ids"] = torch.tensor([[int(i >= boundary) for i in range(len(ids))]], device=device)
        logits.append(model(**inputs).logits[0].float().cpu().numpy())
    found = np.array(logits)
    return found[:, -1] - found[:, 0] if found.shape[1] == 2 else found[:, 0]


@pytest.mark.parametrize(
    ("name", "engine", "templates"),
    [
        ("xlm_roberta", {}, {}),
        pytest.param("modernbert", {}, {}, marks=SLOW),
        ("bert", {}, {}),
        pytest.param("monobert", {}, {}, marks=SLOW),
        ("llama_classifier", ENGINES["cached"], RANKLLAMA),
        pytest.param("llama_classifier", ENGINES["chunked"], RANKLLAMA, marks=SLOW),
        ("xlm_roberta", ENGINES["transformers"], {}),
        ("modernbert", ENGINES["transformers"], {}),
        ("monobert", ENGINES["transformers"], {}),
        ("deberta_v3", ENGINES["transformers"], {}),
        ("llama_classifier", ENGINES["transformers"], RANKLLAMA),
    ],
    ids=[
        *("xlm_roberta", "modernbert", "bert", "monobert", "rankllama-cached", "rankllama-chunked"),
        *("xlm_roberta-transformers", "modernbert-transformers", "monobert-transformers"),
        *("deberta_v3-transformers", "rankllama-transformers"),
    ],
)
def test_scores_are_transformers_logits(name: str, engine: dict, templates: dict, tiny_model: Callable) -> None:
    model = tiny_model(name)
    pairs = SOME_PAIRS if name in ("monobert", "deberta_v3") else PAIRS
    got = score_pairs({"type": "cross_encoder", "model": model} | templates, engine | {"max_model_len": LENGTH}, pairs)
    assert_same(scores(got), expected(model, name, pairs=pairs), atol=1e-5)


def settings(model: str = "m", **more: Any) -> CrossEncoder:
    return CrossEncoder(type="cross_encoder", model=model, **more)


def reply(*logits: float) -> Reply:
    return Reply([1], vector=np.array(logits, dtype=np.float32))


def test_of_two_labels_the_score_is_the_seconds_over_the_firsts() -> None:
    assert RERANKER.score(unused, settings(), [reply(0.5, 2.0)]) == 1.5


def test_a_probability_is_the_sigmoid_of_the_logit() -> None:
    assert RERANKER.score(unused, settings(score="probability"), [reply(-1.5)]) == pytest.approx(1 / (1 + np.exp(1.5)))


def test_a_model_of_more_labels_is_no_reranker() -> None:
    score = RERANKER.score(unused, settings(), [reply(1, 2, 3)])
    assert score == Unscored("the model has 3 labels; cross_encoder reads one or two")


@pytest.mark.parametrize("name", ["bert", "xlm_roberta", "modernbert", "llama_classifier"])
def test_queries_of_every_length_around_the_limit_have_a_prompt_or_a_reason(name: str, tiny_model: Callable) -> None:
    given = settings(tiny_model(name))
    pairs = [Pair("word " * words, "document") for words in range(1, 30)]
    made = RERANKER.prompt(Tokenizer(given, limit=20), given, pairs)
    lengths = [len(prompt.sequences[0]) for prompt in made if isinstance(prompt, Prompt)]
    assert max(lengths) == 20 and any(isinstance(prompt, Unscored) for prompt in made)


def test_a_query_that_leaves_no_room_is_unscored(tiny_model: Callable) -> None:
    given = settings(tiny_model("bert"))
    (made,) = RERANKER.prompt(Tokenizer(given, limit=20), given, [Pair("word " * 50, "document")])
    assert isinstance(made, Unscored)
    assert made.reason.startswith("prompt does not fit: ") and made.reason.endswith("without the document, room for 20")


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ({"prompt": "{query} {doc}", "messages": [{"role": "user", "content": "{query} {doc}"}]}, "one of the two"),
        ({"prompt": "{query} {doc}", "doc_template": "passage: {doc}"}, "give one of the two"),
        ({"prompt": "{query}"}, r"reranker\.prompt: must contain \{doc\} once, not 0 times"),
        ({"messages": [{"role": "user", "content": "{doc}"}]}, r"reranker\.messages: must contain \{query\} once"),
        ({"prompt": "{query} {doc}", "instruction": "x"}, r"reranker\.prompt has no place for it"),
        ({"instruction": "x"}, "has no place for it"),
        ({"prompt": ""}, r"must contain \{query\} once"),
    ],
)
def test_a_prompt_that_cannot_be_meant_is_refused(own: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        settings(**own)


def test_the_side_that_comes_first_is_that_of_the_prompt() -> None:
    for text, side in (("{doc} {query}", "doc"), ("{query} {doc}", "query")):
        assert RERANKER.prefix_side(settings(prompt=text)) == side
    assert RERANKER.prefix_side(settings()) == "query"
