"""Judges described in a config alone: 60 answers and what is read from them, and scores of a model that was trained to
answer against transformers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from actors.rerankers.contract import FollowUp, Reply, Unscored
from actors.rerankers.tokenizer import Tokenizer
from actors.rerankers.written import RERANKER, Written
from jobs.to_qrels import main as to_qrels
from pipeline.config import load
from pipeline.rows import get_kind
from tests.actors.rerankers import test_erank
from tests.actors.rerankers.test_whole_job import run
from tests.conftest import ROOT
from tests.file_tokenizer import FileTokenizer
from tests.parity import BOTH, ENGINES, SLOW, Reference, score_pairs, scores
from tests.tiny_trained import ERANK, GRADES, OTHERS

unused: Any = None  # the tokenizer
DIGITS = {"0": 0.0, "1": 1.0, "2": 2.0, "3": 3.0}
WORDS = {"Perfect": 3.0, "Highly relevant": 2.0, "Related": 1.0, "Irrelevant": 0.0}
UMBRELA = load(str(ROOT / "configs" / "umbrela.yaml")).reranker
assert isinstance(UMBRELA, Written)


def written(**more: Any) -> Written:
    usual: dict[str, Any] = {"model": "m", "prompt": "{query} {doc}", "answer": r"grade: (\S+)", "values": DIGITS}
    return Written(type="written", **(usual | more))


JUDGES = {
    "umbrela": UMBRELA,
    "tag": written(answer=r"<grade>([^<]*)</grade>", stop=("</grade>",)),
    "json": written(answer=r'"score"\s*:\s*"?([^",}\s]+)'),
    "words": written(answer=r"(?i)label: *\**([a-z ]+)", values=WORDS),
    "cased": written(answer=r"label:(\s*\w+)", values={"A": 2.0, "a": 1.0, "b": 0.0}),
    "line": written(answer=r"(?m)^\s*(\S+)\s*$", values={"Yes": 1.0, "No": -0.5}),
    "optional": written(answer=r"grade: (?:none|(\d))"),
}
NO_ANSWER, OTHER, CUT = "the model wrote no answer", "the model's answer is none of reranker.values", "cut off"
ANSWERS: list[tuple[str, str, float | str]] = [
    # The format, and what is around it
    ("umbrela", "##final score: 2", 2),
    ("umbrela", "##final score: 0", 0),
    ("umbrela", "##final score: 3\n", 3),
    ("umbrela", "  \n##final score:1  ", 1),
    ("umbrela", "M: 3\nT: 2\n##final score: 1", 1),
    ("umbrela", "##Final Score: 2", 2),
    ("umbrela", "Final score (O): 2", 2),
    ("umbrela", "The final score is 3.", 3),
    ("umbrela", "It has a final score of 1.", 1),
    ("umbrela", '{"final_score": 2}', 2),
    ("umbrela", "final score\n\n2", 2),
    # Markdown
    ("umbrela", "**##final score: 2**", 2),
    ("umbrela", "**Final score:** 3", 3),
    ("umbrela", "### Final score: **1**", 1),
    # Several
    ("umbrela", "##final score: 1\nNo: ##final score: 2", 2),
    ("umbrela", "final score: 9, or rather: final score: 2", 2),
    ("umbrela", "final score: 2, or rather: final score: 9", OTHER),
    # Thoughts
    ("umbrela", "<think>The final score: 1?</think>\n\n##final score: 3", 3),
    ("umbrela", "So final score: 1.\n</think>##final score: 0", 0),
    ("umbrela", "<think>##final score: 3</think>", NO_ANSWER),
    ("umbrela", "<think>a</think> final score: 1 </think> nothing", NO_ANSWER),
    ("umbrela", "<think>a</think> b </think> final score: 1", 1),
    # None of the values
    ("umbrela", "##final score: 4", OTHER),
    ("umbrela", "##final score: 10", OTHER),
    ("umbrela", "##final score: 2.5", OTHER),
    ("umbrela", "##final score: 02", OTHER),
    ("umbrela", "##final score: ٣", OTHER),
    ("umbrela", "##final score: \uff12", OTHER),
    # None at all: never a 0
    ("umbrela", "##final score: -1", NO_ANSWER),
    ("umbrela", "##final score: two", NO_ANSWER),
    ("umbrela", "##final score: 二", NO_ANSWER),
    ("umbrela", "##final score:", NO_ANSWER),
    ("umbrela", "2", NO_ANSWER),
    ("umbrela", "It fits. 3 of 3 aspects.", NO_ANSWER),
    ("umbrela", "I cannot judge this passage.", NO_ANSWER),
    ("umbrela", "", NO_ANSWER),
    ("umbrela", " \n\t ", NO_ANSWER),
    ("umbrela", "##score final: 2", NO_ANSWER),
    # A number in a sentence is none, and no range or share
    ("umbrela", "A final score of 1 fits.", NO_ANSWER),
    ("umbrela", "I cannot provide a final score (0-3) for this passage.", NO_ANSWER),
    ("umbrela", "I can't assign a final score of 0, 1, 2 or 3 to this content.", NO_ANSWER),
    ("umbrela", "##final score: 0 to 3 (an integer)", NO_ANSWER),
    ("umbrela", "##final score: 2\n\n(The final score 0 would be for unrelated passages.)", 2),
    ("umbrela", "##final score: 1-2", NO_ANSWER),
    ("umbrela", "##final score: 2/3", NO_ANSWER),
    ("umbrela", "##final score: 1/10", NO_ANSWER),
    ("umbrela", "##final score: 1,5", NO_ANSWER),
    ("umbrela", "##final score: 2 or 3", NO_ANSWER),
    # Cut off at the limit, wherever
    ("umbrela", "##final score: 2|", CUT),
    ("umbrela", "##final score: 1|", CUT),
    ("umbrela", "<think>It may be final score: 2, but|", CUT),
    ("umbrela", "|", CUT),
    # A tag with white space inside
    ("tag", "<grade>3</grade>", 3),
    ("tag", "<grade>\n 1 \n</grade>", 1),
    ("tag", "<grade></grade>", OTHER),
    ("tag", "<grade>1 or 2</grade>", OTHER),
    ("tag", "<grade>2", NO_ANSWER),
    # JSON
    ("json", '{"reason": "the grade: 1", "score": 2}', 2),
    ("json", '```json\n{"score": "3"}\n```', 3),
    ("json", '{"score": null}', OTHER),
    # Words
    ("words", "Label: Perfect", 3),
    ("words", "label: PERFECT.", 3),
    ("words", "Label: **highly relevant**", 2),
    ("words", "Label: perfectly fine", OTHER),
    ("cased", "label: A", 2),
    ("cased", "label: a", 1),
    ("cased", "label: B", OTHER),
    ("line", "It names the author.\nyes\n", 1),
    ("line", "NO", -0.5),
    ("optional", "grade: 2, then grade: none", 2),
]


@pytest.mark.parametrize(("judge", "text", "expected"), ANSWERS)
def test_an_answer_is_its_value_or_has_a_reason(judge: str, text: str, expected: float | str) -> None:
    settings, finished = JUDGES[judge], not text.endswith("|")
    reply = Reply([5], 0, (7,) * 9, text.removesuffix("|"), finished=finished)
    got = RERANKER.score(unused, settings, [reply])
    if isinstance(expected, str):
        assert isinstance(got, Unscored) and expected in got.reason and not got.transient
        assert get_kind(got.reason) in (NO_ANSWER, OTHER, "the model's answer is cut off at N new tokens")
    else:
        assert isinstance(got, float) and got == expected


def test_the_table_has_seventy_answers() -> None:
    assert len(ANSWERS) == len({*ANSWERS}) == 70


def test_no_text_of_the_model_is_before_the_colon_of_a_reason() -> None:
    for text in ("grade: sehr gut", "sehr gut"):
        got = RERANKER.score(unused, written(answer=r"grade: (.+)"), [Reply([5], text=text)])
        assert isinstance(got, Unscored)
        before, _, after = got.reason.partition(":")
        assert "sehr" not in before and "sehr gut" in after


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"prompt": None}, "reranker.prompt or reranker.messages, one of the two"),
        ({"prompt": "{query}"}, "reranker.prompt: must contain {doc} once, not 0 times"),
        ({"answer": "["}, "answer\n  Value error, is no regular expression: unterminated character set"),
        ({"answer": r"\d"}, "answer\n  Value error, should have one group, which is the answer, and not 0"),
        ({"answer": r"(\d) of (\d)"}, "should have one group, which is the answer, and not 2"),
        ({"answer": r"(\d*)"}, "matches an empty text, which is at the end of all"),
        ({"answer": ""}, "should have one group, which is the answer, and not 0"),
        ({"values": {}}, "reranker.values = {}: all values are the same"),
        ({"values": {"1": 1.0}}, "reranker.values = {'1': 1.0}: all values are the same"),
        ({"values": {"a": 1.0, "b": 1.0}}, "all values are the same, so all scores would be"),
        ({"values": {"a": 1.0, " a": 2.0}}, "two texts differ in white space alone"),
        ({"values": {"a": 1.0, " ": 2.0}}, "' ' is no answer"),
        ({"values": {0: 0.0, 1: 1.0}}, "YAML took a text for 0; texts stand in quotes"),
        ({"values": {True: 1.0, "no": 0.0}}, "YAML took a text for True"),
        ({"values": {"a": float("nan"), "b": 0.0}}, "finite number"),
        ({"values": {"a": "high", "b": 0.0}}, "valid number"),
        ({"score": "logit"}, "'value' or 'expected'"),
        ({"max_new_tokens": 1}, "greater than or equal to 2"),
        ({"stop": [""]}, "at least 1 character"),
        ({"instruction": "Find it."}, "has no place for it, {instruction}"),
    ],
)
def test_a_wrong_setting_is_said_by_its_key(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as raised:
        written(**wrong)
    assert raised.value.error_count() == 1
    assert message in str(raised.value)


# A model that answers ERank's prompt, which is a judge's here. Its answers of two digits are none of these values.
NEW_TOKENS = 64
ERANK_JUDGE: dict[str, Any] = {
    "type": "written",
    "messages": [{"role": "user", "content": test_erank.PROMPT.partition("user\n")[2].partition("<|im_end|>")[0]}],
    "instruction": test_erank.BEIR,
    "answer": r"<answer>\s*(\w+)\s*</answer>",
    "stop": ["</answer>"],
    "values": {str(grade): grade * 1.5 - 1 for grade in range(10)},
    "max_new_tokens": NEW_TOKENS,
}
REASONS = {
    "TEN": f"{OTHER}: '10'",
    "WORDS": f"{OTHER}: 'high'",
    "UNTAGGED": f"{NO_ANSWER}: '5'",
    "SILENT": f"{NO_ANSWER}: ''",
    "ENDLESS": f"the model's answer is cut off at {NEW_TOKENS} new tokens",
}
KEYS = [*GRADES[:10], "HESITANT", "AGAIN", *REASONS]
PAIRS = [(f"query {i}", f"It is about apples. It is {key} of all.") for i in range(3) for key in KEYS]


def judge_pairs(model: str, engine: str, score: str) -> list[tuple[str, Any]]:
    """The key word of each pair's document, and what came of it."""
    got = score_pairs(ERANK_JUDGE | {"model": model, "score": score}, ENGINES[engine], PAIRS)
    return [(doc.split()[6], result) for (_, doc), result in zip(PAIRS, got, strict=True)]


@pytest.mark.parametrize("engine", [pytest.param("cached", marks=SLOW), "transformers"])
def test_the_value_is_that_of_the_answer(engine: str, trained_erank: str) -> None:
    grades = {key: grade * 1.5 - 1 for grade, key in enumerate(GRADES[:10])} | {"HESITANT": 11, "AGAIN": 3.5}
    for key, result in judge_pairs(trained_erank, engine, "value"):
        assert (result.score, result.reason) == (grades.get(key), REASONS.get(key)), key
        if key != "SILENT":
            wrote, ended, _ = ERANK[key].partition("</answer>")
            assert result.text.startswith((wrote + ended)[:40]), "explain keeps what the model wrote"


@pytest.mark.parametrize("engine", BOTH)
def test_the_expected_value_is_by_the_probabilities_where_the_answer_stands(engine: str, trained_erank: str) -> None:
    reference = Reference(trained_erank)
    values = ERANK_JUDGE["values"]
    labels = [reference.tokenizer.id(text) for text in values]
    got = judge_pairs(trained_erank, engine, "expected")
    expected = np.full(len(got), np.nan)
    for i, (key, result) in enumerate(got):
        assert result.reason == REASONS.get(key), key
        if result.score is not None:
            answer = result.replies[0]
            assert answer.prompt == test_erank.prompt(reference.tokenizer, PAIRS[i][0], PAIRS[i][1])
            at = max(place for place, token in enumerate(answer.tokens) if token in labels)
            p = reference.logits([*answer.prompt, *answer.tokens[:at]])[-1][labels].double().softmax(-1)
            expected[i] = sum(value * float(share) for value, share in zip(values.values(), p, strict=True))
    np.testing.assert_allclose(scores([result for _, result in got]), expected, rtol=1e-3, atol=1e-3)
    (hesitant, *_) = (result.score for key, result in got if key == "HESITANT")
    assert hesitant == pytest.approx((1 - OTHERS) * 11 + OTHERS * 2, abs=0.6), "between the answers 8 and 2"


def test_a_whole_job_and_its_qrels(trained_erank: str, tmp_path: Path) -> None:
    values = {str(grade): float(grade) for grade in range(10)}
    engine = ENGINES["transformers"]
    rows = run(tmp_path, ERANK_JUDGE | {"model": trained_erank, "values": values}, PAIRS, engine=engine, explain=True)
    assert to_qrels([str(tmp_path / "out"), "--output", str(tmp_path / "qrels")]) == 0
    lines = {tuple(line.split()) for line in (tmp_path / "qrels").read_text().splitlines()}
    grades = {key: grade for grade, key in enumerate(GRADES[:10])} | {"HESITANT": 8, "AGAIN": 3}
    expected = set()
    for (_, doc), row in zip(PAIRS, rows, strict=True):
        key = doc.split()[6]
        assert row["reason"] == REASONS.get(key) and (row["explanation"] or "")[:20] == ERANK[key][:20]
        if key in grades:
            expected.add((row["query_id"], "0", row["doc_id"], str(grades[key])))
    assert lines == expected and 0 < len(lines) < len(PAIRS)


# Where the answer's token stands


def reply_of(tokenizer: Tokenizer, text: str) -> Reply:
    return Reply([5, 6], 0, tuple(tokenizer.pretrained.encode(text, add_special_tokens=False)), text)


@pytest.mark.parametrize("model", ["qwen3", "mistral", "llama3", "gemma", "llama2"])
@pytest.mark.parametrize(
    "text", ["grade: 2", "grade: 2\n", "<think>grade: 2, 2, 2</think> Hm, 2 2.\n\ngrade: 2 (2 aspects of 2)"]
)
def test_the_follow_up_ends_before_the_answers_token(model: str, text: str, tiny_model: Callable) -> None:
    settings = written(model=tiny_model(model), answer=r"grade: (\d)", score="expected")
    tokenizer, file = Tokenizer(settings), FileTokenizer(settings.model)
    reply = reply_of(tokenizer, text)
    asked = RERANKER.score(tokenizer, settings, [reply])
    assert isinstance(asked, FollowUp) and asked.max_tokens == 1
    (sequence,) = asked.sequences
    position = len(sequence) - 2
    assert sequence == [5, 6, *reply.tokens[:position]]
    assert file.decode(reply.tokens[position:]).strip() == text[text.rindex("grade: ") + 7 :].strip()
    label = reply.tokens[position]
    assert tokenizer.label_ids(RERANKER.request(settings).labels)[2] == label


@pytest.mark.parametrize("pattern", [r"It is( \w+)", r"It is (\w+)"])
def test_a_value_that_begins_with_a_space_is_read_by_that_token(pattern: str, tiny_model: Callable) -> None:
    settings = written(model=tiny_model("qwen2"), answer=pattern, values={" true": 1.0, " false": 0.0})
    settings = settings.model_copy(update={"score": "expected"})
    tokenizer = Tokenizer(settings)
    reply = reply_of(tokenizer, "It is true")
    true, false = (FileTokenizer(settings.model).id(text) for text in (" true", " false"))
    assert tokenizer.label_ids(RERANKER.request(settings).labels) == [true, false] and reply.tokens[-1] == true
    assert RERANKER.score(tokenizer, settings, [reply]) == FollowUp([[5, 6, *reply.tokens[:-1]]])
    read = Reply([5], label_logprobs=np.log([0.3, 0.1]))
    assert RERANKER.score(tokenizer, settings, [reply, read]) == pytest.approx(0.3 / (0.3 + 0.1))


def test_an_answer_in_another_token_than_its_values_has_a_reason(tiny_model: Callable) -> None:
    settings = written(model=tiny_model("qwen2"), answer=r"It is ?(\w+)", values={" true": 1.0, " false": 0.0})
    settings = settings.model_copy(update={"score": "expected"})
    tokenizer = Tokenizer(settings)
    reason = Unscored("the answer is not written by the token of its value: ' true'")
    for text in ("It is TRUE", "It is true, It istrue"):
        assert RERANKER.score(tokenizer, settings, [reply_of(tokenizer, text)]) == reason


def test_a_value_of_several_tokens_is_refused_where_they_are_read(tiny_model: Callable) -> None:
    several = {"values": {"Perfect": 1.0, "Highly relevant": 0.0}, "model": tiny_model("qwen2")}
    tokenizer = Tokenizer(written(**several))
    assert tokenizer.label_ids(RERANKER.request(written(**several)).labels) == []
    with pytest.raises(ValueError, match="tokens in this model's vocabulary, not one"):
        tokenizer.label_ids(RERANKER.request(written(**several, score="expected")).labels)
