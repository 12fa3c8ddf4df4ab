"""The scores of `lb` against transformers, from the Parquet file in to the Parquet files out."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from actors.engine import Engine
from actors.rerankers.contract import Pair, Prompt, Reply, Unscored
from actors.rerankers.lb import LB, RERANKER
from actors.tokens import Encoder
from pipeline.run import rerank
from tests.actors.conftest import ENGINE, run

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
    "文字が多い文書。" * 120,
    "{'a': [1, 2.5, -3e-7], \"b\": null}\n" * 40,
    "word" * 300,
]
PAIRS = list(itertools.product(QUERIES, DOCS))

# The published formulas, of the probabilities p1 to p7 of the tokens 1 to 7 over the full vocabulary.
FORMULAS: dict[str, Callable[[np.ndarray], float]] = {
    "card": lambda p: 1 * p[0] + 2 * p[1] + 3 * p[2] + 4 * p[3] + 5 * p[4] + 6 * p[5] + 7 * p[6],
    "notebook": lambda p: (p[3] + p[4] + p[5] + p[6]) / 4 - (p[0] + p[1] + p[2] + p[3]) / 4,
    "normalised": lambda p: sum(i * p[i - 1] for i in range(1, 8)) / sum(p),
}


@pytest.fixture(scope="module")
def reference(tiny_qwen2: str) -> np.ndarray:
    """p1 to p7 of each pair by transformers in float32. Shape (pairs, 7)."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_qwen2)
    model = AutoModelForCausalLM.from_pretrained(tiny_qwen2, dtype=torch.float32)
    labels = [tokenizer.convert_tokens_to_ids(label) for label in "1234567"]
    rows = []
    for query, text in PAIRS:
        messages = [
            {
                "role": "system",
                "content": "Given a query and a piece of text, output a score of 1-7 based on how related the query "
                "is to the text. 1 means least related and 7 is most related.",
            },
            {"role": "user", "content": f"<<<Query>>>\n{query}\n\n<<<Context>>>\n{text}"},
        ]
        rendered = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        inputs = tokenizer([str(rendered)], add_special_tokens=False, return_tensors="pt")
        with torch.no_grad():
            rows.append(model(**inputs).logits[0, -1].softmax(-1)[labels].numpy())
    return np.array(rows, dtype=np.float64)


def test_the_whole_job_gives_the_cards_scores(
    reference: np.ndarray, tiny_qwen2: str, make_config: Callable, write_pairs: Callable, tmp_path: Path
) -> None:
    path = write_pairs(
        query_id=[f"q{i // len(DOCS)}" for i in range(len(PAIRS))],
        query=[query for query, _ in PAIRS],
        doc_id=[str(i) for i in range(len(PAIRS))],
        doc=[doc for _, doc in PAIRS],
        score=[float(i) for i in range(len(PAIRS))],
    )
    model = {"type": "lb", "model": tiny_qwen2}
    rerank(make_config(path, reranker=model, engine=ENGINE | {"max_model_len": 4096}, run={"unit_rows": 50}))
    rows = pq.read_table(tmp_path / "out" / "ranked").to_pylist()
    scores = {int(row["doc_id"]): row["rerank_score"] for row in rows}
    assert None not in scores.values()
    got = np.array([scores[i] for i in range(len(PAIRS))])
    np.testing.assert_allclose(got, np.array([FORMULAS["card"](p) for p in reference]), rtol=1e-3)
    assert got.max() > 5 * got.min(), "a model that gives all pairs the same score would prove nothing"


@pytest.mark.parametrize("setting", FORMULAS)
def test_each_score_is_its_formula_of_transformers_probabilities(
    setting: str, reference: np.ndarray, lb_settings: LB, lb_encoder: Encoder, lb_engine: Engine
) -> None:
    settings = lb_settings.model_copy(update={"score": setting})
    prompts = RERANKER.prompt(lb_encoder, settings, [Pair(*pair) for pair in PAIRS])
    replies = run(lb_engine, [made.sequences[0] for made in prompts if isinstance(made, Prompt)]).result()
    got = np.array([score(settings, reply) for reply in replies if isinstance(reply, Reply)])
    np.testing.assert_allclose(got, np.array([FORMULAS[setting](p) for p in reference]), rtol=1e-3)


def score(settings: LB, reply: Reply) -> Any:
    encoder: Any = None  # is not used
    return RERANKER.score(encoder, settings, [reply])


def reply(*p: float) -> Reply:
    """What the engine gives where the labels have these probabilities."""
    return Reply(prompt=[1], label_logprobs=np.log(p))


def test_a_certain_answer_scores_itself() -> None:
    certain = reply(1e-30, 1e-30, 1e-30, 1e-30, 1e-30, 1, 1e-30)
    assert score(LB(type="lb", model="m"), certain) == pytest.approx(6)
    assert score(LB(type="lb", model="m", score="notebook"), certain) == pytest.approx(1 / 4)


def test_only_the_normalised_score_ignores_what_goes_to_other_tokens() -> None:
    half = reply(0.1, 1e-30, 1e-30, 0.2, 1e-30, 1e-30, 0.2)  # the other half is on tokens that are no label
    assert score(LB(type="lb", model="m"), half) == pytest.approx(0.1 * 1 + 0.2 * 4 + 0.2 * 7)
    assert score(LB(type="lb", model="m", score="normalised"), half) == pytest.approx((0.1 + 0.8 + 1.4) / 0.5)
    assert score(LB(type="lb", model="m", score="notebook"), half) == pytest.approx(0.4 / 4 - 0.3 / 4)


def test_the_document_is_cut_where_prompt_and_answer_would_not_fit(lb_settings: LB) -> None:
    encoder = Encoder(lb_settings, limit=200)
    made = RERANKER.prompt(encoder, lb_settings, [Pair("query", "word " * 500)])[0]
    assert isinstance(made, Prompt) and made.truncated
    assert len(made.sequences[0]) + 1 == 200


def test_a_query_that_leaves_no_room_is_unscored(lb_settings: LB) -> None:
    made = RERANKER.prompt(Encoder(lb_settings, limit=200), lb_settings, [Pair("word " * 500, "document")])[0]
    assert isinstance(made, Unscored) and "does not fit" in made.reason


def test_query_and_document_have_limits_of_their_own(lb_settings: LB, lb_encoder: Encoder) -> None:
    limited = lb_settings.model_copy(update={"max_query_tokens": 2, "max_doc_tokens": 3})
    (short,) = RERANKER.prompt(lb_encoder, lb_settings, [Pair("12", "123")])
    assert isinstance(short, Prompt) and not short.truncated
    assert RERANKER.prompt(lb_encoder, limited, [Pair("1234567", "1234567")]) == [short._replace(truncated=True)]
