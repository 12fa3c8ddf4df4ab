"""Cosines of the real MiniLM against transformers and mean pooling."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from transformers import AutoModel

from actors.rerankers.bi_encoder import BiEncoder, prompt, score
from actors.rerankers.contract import Pair, Prompt, Reply
from actors.rerankers.tokenizer import Tokenizer
from tests import parity
from tests.file_tokenizer import FileTokenizer

QUERIES = [
    "what is the capital of France?",
    "Ä",
    "list comprehension in python",
    "  1,234 ",
    "第一 query \n",
    "q " * 300,
]
DOCS = [
    "Paris is the capital and most populous city of France.",
    "x",
    "[i for i in range(10) if i % 2]\n",
    "ÀÉÎ naïve café — “quotes” 🍎 文字",
    "1,234 and 5,678.90 are numbers",
    "\n\t leading and trailing \r\n",
    "a long document about many things " * 60,
    "supercalifragilisticexpialidocious " * 100,
    "word" * 200,
]
PAIRS = [Pair(query, doc) for query in QUERIES for doc in DOCS]


def settings(minilm: str, **more: Any) -> BiEncoder:
    return BiEncoder(type="bi_encoder", model=minilm, **more)


def scores(given: BiEncoder, pairs: list[Pair], engine: dict[str, Any] = {}) -> np.ndarray:
    texts = [(pair.query, pair.doc) for pair in pairs]
    return parity.scores(parity.score_pairs(given.model_dump(), engine, texts))


def sequence(tokenizer: FileTokenizer, text: str, max_tokens: int = 256) -> list[int]:
    return [tokenizer.id("[CLS]"), *tokenizer.ids(text)[: max_tokens - 2], tokenizer.id("[SEP]")]


def reference(minilm: str, pairs: list[Pair], max_tokens: int = 256) -> np.ndarray:
    """Cosines of the mean of each text's last hidden states, over all tokens including the special ones."""
    tokenizer, model = FileTokenizer(minilm), AutoModel.from_pretrained(minilm, dtype=torch.float32)

    def embed(text: str) -> torch.Tensor:
        with torch.no_grad():
            return model(torch.tensor([sequence(tokenizer, text, max_tokens)])).last_hidden_state[0].mean(0)

    texts = {text for pair in pairs for text in (pair.query, pair.doc)}
    vectors = {text: embed(text) for text in texts}
    return np.array([torch.cosine_similarity(vectors[p.query], vectors[p.doc], dim=0).item() for p in pairs])


@pytest.mark.parametrize("engine", [{}, parity.ENGINES["transformers"]], ids=["vllm", "transformers"])
def test_scores_are_transformers_cosines(minilm: str, engine: dict) -> None:
    got = scores(settings(minilm), PAIRS, engine)
    np.testing.assert_allclose(got, reference(minilm, PAIRS), atol=1e-4)
    assert got.max() - got.min() > 0.5


def test_texts_are_cut_at_their_limits_special_tokens_counted(minilm: str) -> None:
    limited = settings(minilm, max_query_tokens=16, max_doc_tokens=16)
    got = scores(limited, PAIRS)
    np.testing.assert_allclose(got, reference(minilm, PAIRS, max_tokens=16), atol=1e-4)
    (made,) = prompt(Tokenizer(limited), limited, [Pair("q " * 300, "short")])
    assert isinstance(made, Prompt) and made.truncated
    assert [len(tokens) for tokens in made.sequences] == [16, 3]
    assert made.sequences[0][0] == 101 and made.sequences[0][-1] == 102, "[CLS] and [SEP] stay"


@pytest.mark.parametrize("words", [254, 255])
def test_only_a_text_that_lost_something_counts_as_truncated(minilm: str, words: int) -> None:
    (made,) = prompt(Tokenizer(settings(minilm)), settings(minilm), [Pair("a query", "word " * words)])
    assert isinstance(made, Prompt) and made.truncated == (words > 254)
    assert len(made.sequences[1]) == 256


def test_no_limit_is_above_the_engines(minilm: str) -> None:
    wide = settings(minilm, max_doc_tokens=400)
    (made,) = prompt(Tokenizer(wide, limit=100), wide, [Pair("a query", "word " * 500)])
    assert isinstance(made, Prompt) and len(made.sequences[1]) == 100


def test_templates_go_around_the_texts(minilm: str) -> None:
    given = settings(minilm, query_template="query: {query}", doc_template="passage: {doc} [SEP]")
    (made,) = prompt(Tokenizer(given), given, [Pair("{doc} a", "{query} b")])
    tokenizer = FileTokenizer(minilm)
    query = tokenizer.fill("[CLS]query: {text}[SEP]", text="{doc} a")
    doc = tokenizer.fill("[CLS]passage: {text} [SEP][SEP]", text="{query} b")  # the template's is special
    assert made == Prompt([query, doc])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"query_template": "query"}, "must contain {query}"),
        ({"doc_template": "{query}"}, "must contain {doc}"),
        ({"max_doc_tokens": 2}, "greater than or equal to 3"),
        ({"max_query_tokens": 10.5}, "valid integer"),
        ({"instruction": "judge"}, "Extra inputs are not permitted"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        settings("m", **wrong)


def test_the_score_is_a_cosine_whatever_the_lengths() -> None:
    def reply(*vector: float) -> Reply:
        return Reply(prompt=[1], vector=np.array(vector, dtype=np.float32))

    given = settings("m")
    unused: Any = None  # the tokenizer
    assert score(unused, given, [reply(3, 4), reply(6, 8)]) == pytest.approx(1)
    assert score(unused, given, [reply(1, 0), reply(0, 5)]) == pytest.approx(0)
    assert score(unused, given, [reply(1, 0), reply(-2, -2)]) == pytest.approx(-1 / math.sqrt(2))
