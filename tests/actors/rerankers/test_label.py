"""Rerankers described in a config alone, against transformers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from actors.rerankers.contract import Pair, Reply, Unscored
from actors.rerankers.label import RERANKER, Label
from actors.rerankers.tokenizer import Tokenizer
from tests.parity import BOTH, ENGINES, PAIRS, SLOW, SOME_PAIRS, Reference, assert_same, score_pairs, scores

unused: Any = None  # the tokenizer
GRADES = {"0": 0.0, "1": 1.0, "2": 2.5, "3": 4.0}


@pytest.mark.parametrize("engine", BOTH)
def test_a_graded_reranker_of_chat_messages(engine: str, tiny_model: Callable) -> None:
    model = tiny_model("qwen2")
    reference = Reference(model)
    settings = {
        "type": "label",
        "model": model,
        "messages": [
            {"role": "system", "content": "Grade the text from 0 to 3."},
            {"role": "user", "content": "Query: {query}\nText: {doc}"},
        ],
        "labels": GRADES,
        "score": "expectation",
    }
    got = scores(score_pairs(settings, ENGINES[engine]))
    frame = (
        "<|im_start|>system\nGrade the text from 0 to 3.<|im_end|>\n"
        "<|im_start|>user\nQuery: {query}\nText: {doc}<|im_end|>\n<|im_start|>assistant\n"
    )
    expected = []
    for query, doc in PAIRS:
        p = reference.logprobs(reference.tokenizer.fill(frame, query=query, doc=doc)).exp()
        expected.append(sum(value * float(p[reference.tokenizer.id(label)]) for label, value in GRADES.items()))
    assert_same(got, np.array(expected))


@pytest.mark.parametrize(
    ("score", "formula"),
    [("probability", lambda y, n: y / (y + n)), pytest.param("logit", lambda y, n: np.log(y / n), marks=SLOW)],
)
def test_a_yes_or_no_reranker_of_a_raw_prompt(score: str, formula: Callable, tiny_model: Callable) -> None:
    """On a tokenizer that begins every text with <s>."""
    model = tiny_model("mistral")
    reference = Reference(model)
    settings = {
        "type": "label",
        "model": model,
        "prompt": "Is {doc}\nabout {query} ({instruction})? {braces}",
        "instruction": "be strict",
        "labels": {" true": 1.0, " false": 0.0},
        "score": score,
    }
    got = scores(score_pairs(settings, ENGINES["cached"]))
    expected = []
    for query, doc in PAIRS:
        frame = "<s>Is {doc}\nabout {query} (be strict)? {braces}"
        p = reference.logprobs(reference.tokenizer.fill(frame, query=query, doc=doc)).exp().double()
        yes, no = (float(p[reference.tokenizer.id(label)]) for label in (" true", " false"))
        expected.append(formula(yes, no))
    assert_same(got, np.array(expected), atol=1e-5)


BEGIN = {"qwen2": "", "mistral": "<s>", "gemma": "<bos>"}  # what the tokenizer puts before a text
ONE_LABEL: list[tuple[str, dict[str, Any], str, Callable]] = [
    ("qwen2", {"labels": {"Yes": 1.0}, "score": "logit"}, "Yes", lambda logits, i: logits[i]),
    ("qwen2", {"label_ids": {0: 1.0}, "score": "logit", "scoring": "head"}, "!", lambda logits, i: logits[i]),
    ("mistral", {"label_ids": {0: 1.0}, "score": "logit"}, "<unk>", lambda logits, i: logits[i]),
    ("mistral", {"labels": {" true": 3.0}, "score": "probability"}, " true", lambda logits, i: 3 * logits[i].sigmoid()),
    ("gemma", {"labels": {"Yes": 1.0}, "score": "expectation"}, "Yes", lambda logits, i: logits.softmax(-1)[i]),
]


@pytest.mark.parametrize(("name", "asked", "token", "formula"), ONE_LABEL)
def test_one_label_by_its_text_or_its_id(
    name: str, asked: dict[str, Any], token: str, formula: Callable, tiny_model: Callable
) -> None:
    model = tiny_model(name)
    reference = Reference(model)
    settings = {"type": "label", "model": model, "prompt": "Text: {doc}\nQuery: {query} ??"} | asked
    got = scores(score_pairs(settings, {} if "scoring" in asked else ENGINES["cached"], SOME_PAIRS))
    frame, found = BEGIN[name] + "Text: {doc}\nQuery: {query} ??", reference.tokenizer.id(token)
    prompts = (reference.tokenizer.fill(frame, query=query, doc=doc) for query, doc in SOME_PAIRS)
    expected = [float(formula(reference.logits(ids)[-1].double(), found)) for ids in prompts]
    assert_same(got, np.array(expected), atol=1e-5)


def test_labels_by_their_ids_are_those_by_their_texts(tiny_model: Callable) -> None:
    given = label(model=tiny_model("qwen2"), labels={"yes": 1.0, "no": 0.0, "7": 3.0})
    ids = Tokenizer(given).pretrained.convert_tokens_to_ids(["yes", "no", "7"])
    by_id = label(labels={}, label_ids=dict(zip(ids, [1.0, 0.0, 3.0], strict=True)))
    asked = [Tokenizer(given).label_ids(RERANKER.request(each).labels) for each in (given, by_id)]
    assert asked == [ids, ids]
    reply = Reply([1], label_logprobs=np.array([-0.5, -2.0, -3.0]))
    assert RERANKER.score(unused, given, [reply]) == RERANKER.score(unused, by_id, [reply])


def label(**more: Any) -> Label:
    usual: dict[str, Any] = {
        "model": "m",
        "prompt": "{query} {doc}",
        "labels": {"yes": 1.0, "no": 0.0},
        "score": "probability",
    }
    return Label(type="label", **(usual | more))


def test_log_odds_is_the_older_name_of_the_logit_of_two_labels() -> None:
    assert label(score="log_odds") == label(score="logit")


def test_the_prefix_side_is_the_text_that_comes_first() -> None:
    assert RERANKER.prefix_side(label()) == "query"
    assert RERANKER.prefix_side(label(prompt="{doc} {query}")) == "doc"


def test_special_tokens_of_a_raw_prompt_are_special(tiny_model: Callable) -> None:
    settings = label(model=tiny_model("qwen2"), prompt="<|im_start|>{query}<|im_end|>{doc}")
    tokenizer = Tokenizer(settings)
    (made,) = RERANKER.prompt(tokenizer, settings, [Pair("<|im_end|>", "d")])
    special = tokenizer.pretrained.get_added_vocab()
    assert not isinstance(made, Unscored)
    ids = made.sequences[0]
    assert [i for i in ids if i in special.values()] == [special["<|im_start|>"], special["<|im_end|>"]]


def test_a_row_without_an_instruction_for_a_prompt_with_one_is_unscored(tiny_model: Callable) -> None:
    settings = label(model=tiny_model("qwen2"), prompt="{instruction} {query} {doc}")
    made = RERANKER.prompt(Tokenizer(settings), settings, [Pair("q", "d"), Pair("q", "d", "Find it.")])
    assert [isinstance(prompt, Unscored) for prompt in made] == [True, False]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"prompt": None}, "reranker.prompt or reranker.messages, one of the two"),
        ({"messages": [{"role": "user", "content": "{query} {doc}"}]}, "one of the two"),
        ({"prompt": "{query}"}, "reranker.prompt: must contain {doc} once, not 0 times"),
        ({"prompt": "{query} {doc} {query}"}, "must contain {query} once, not 2 times"),
        ({"labels": {}}, "reranker.labels or reranker.label_ids, one of the two"),
        ({"label_ids": {7: 1.0}}, "reranker.labels or reranker.label_ids, one of the two"),
        ({"labels": {}, "label_ids": {7: 2.0, 8: 2.0}}, "reranker.label_ids = {7: 2.0, 8: 2.0}: all values are the"),
        ({"labels": {}, "label_ids": {-1: 1.0, 8: 2.0}}, "greater than or equal to 0"),
        ({"labels": {}, "label_ids": {"yes": 1.0, 8: 2.0}}, "valid integer"),
        ({"labels": {"yes": 1.0, "no": 1.0}}, "all values are the same"),
        ({"labels": {"a": 1.0, "b": 2.0, "c": 3.0}, "score": "logit"}, "of one label or two, not 3"),
        ({"labels": {"yes": 2.0}, "score": "logit"}, "the logit of one label is not multiplied, so its value is 1"),
        ({"labels": {"yes": 0.0}}, "with the value 0 all scores would be 0"),
        ({"labels": {"yes": 1.0}, "score": "expectation", "scoring": "head"}, "over one label is always its value"),
        ({"labels": {True: 1.0}}, "YAML took a label for True; labels stand in quotes"),
        ({"labels": {9454: 1.0}}, "ids of tokens in reranker.label_ids"),
        ({"score": "mean"}, "'expectation', 'probability' or 'logit'"),
    ],
)
def test_what_is_wrong_is_said_by_its_key(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as raised:
        label(**wrong)
    assert message in str(raised.value)
