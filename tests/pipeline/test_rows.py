"""Reasons are counted by kind, and no kind has words of a document or of the model."""

import pytest

from actors.rerankers import erank
from actors.rerankers.contract import Reply
from actors.rerankers.erank import ERank
from pipeline.rows import count_kinds, get_kind


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("prompt does not fit: 5,123 tokens without the document, room for 4095", "prompt does not fit"),
        ("the answer is not a whole number of 0 to 10: '11'", "the answer is not a whole number of N to N"),
        ("document is empty", "document is empty"),
    ],
)
def test_reasons_that_differ_by_row_are_of_one_kind(reason: str, kind: str) -> None:
    assert get_kind(reason) == kind


def test_many_reasons_of_a_kind_are_counted_together() -> None:
    reasons = {f"prompt does not fit: {5000 + i} tokens": 1 for i in range(500)}
    assert count_kinds({"document is empty": 7} | reasons) == {"prompt does not fit": 500, "document is empty": 7}
    assert next(iter(count_kinds({"a": 1, "b": 2}))) == "b"


def test_words_of_the_model_are_in_no_label() -> None:
    settings = ERank(type="erank", model="m")
    for text in ("<answer>secret words</answer>", "secret words"):
        reason = erank.score(None, settings, [Reply([1], text=text)]).reason  # type: ignore[arg-type, union-attr]
        assert "secret" not in get_kind(reason)
