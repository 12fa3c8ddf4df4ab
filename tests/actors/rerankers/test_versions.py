"""A reranker whose prompts or formula change is another version: no score of before may be taken for today's."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest

from actors.rerankers import RERANKERS, Settings, bi_encoder, formulas, lb, listwise, qwen3, sliding, templates
from actors.rerankers.contract import FollowUp, Reply, Unscored
from actors.rerankers.tokenizer import Tokenizer
from tests.actors.rerankers import versions
from tests.actors.rerankers.versions import VARIANTS, compute_record, find_differences, make_settings, read_versions

ALL = [(family, variant) for family in VARIANTS for variant in VARIANTS[family]]


@pytest.mark.parametrize(("family", "variant"), ALL, ids=[f"{family}: {variant}" for family, variant in ALL])
def test_a_version_has_the_prompts_and_the_scores_that_were_recorded_for_it(family: str, variant: str) -> None:
    recorded = read_versions().get(family, {}).get(str(RERANKERS[family].version), {}).get(variant)
    if recorded is None:
        pytest.fail(f"not recorded for version {RERANKERS[family].version}; do so with: {versions.COMMAND}")
    if differences := find_differences(family, recorded, compute_record(family, variant)):
        pytest.fail(differences)


@pytest.mark.parametrize("family", RERANKERS)
def test_the_variants_use_every_setting_of_a_family_and_every_choice_of_one(family: str) -> None:
    """A setting that no variant uses may change numbers unseen."""
    made = [make_settings(family, variant) for variant in VARIANTS.get(family, ())]
    assert made, f"{family}: add its variants to tests/actors/rerankers/variants.py, then: {versions.COMMAND}"
    for name, field in RERANKERS[family].settings.model_fields.items():
        if name not in Settings.model_fields:
            used = {repr(getattr(settings, name)) for settings in made}
            choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
            assert {*map(repr, choices)} <= used, name
            assert used - {repr(field.default)}, name


def test_no_version_has_all_the_numbers_of_the_one_before() -> None:
    for family, recorded in read_versions().items():
        assert [int(version) for version in recorded] == list(range(1, RERANKERS[family].version + 1))
        for one, next_one in zip(list(recorded.values()), list(recorded.values())[1:], strict=False):
            assert one != next_one, f"{family}: raised for nothing"


# The test above, tested: what a change to the code does to the records


def change_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qwen3, "BODY", qwen3.BODY.replace("<Document>", "<Text>"))


def change_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    real: Any = templates._cut_to_fit
    monkeypatch.setattr(templates, "_cut_to_fit", lambda *given: real(*given[:-1], given[-1] - 1))


def change_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(lb.SCORES, "card", formulas.probability)


def change_type(monkeypatch: pytest.MonkeyPatch) -> None:
    """In single precision, as the engine gives it: a change of the eighth digit."""

    def score(tokenizer: Tokenizer, settings: Any, replies: list[Reply]) -> float | Unscored | FollowUp:
        query, doc = (reply.vector for reply in replies)
        assert query is not None and doc is not None
        return float(query @ doc / math.sqrt(float(query @ query) * float(doc @ doc)))

    monkeypatch.setitem(RERANKERS, "bi_encoder", replace(bi_encoder.RERANKER, score=score))


def change_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    real: Any = listwise.read_numbers
    monkeypatch.setattr(listwise, "read_numbers", lambda text, *given: real(text.replace("2", "1"), *given))


def change_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    real: Any = sliding.slide
    monkeypatch.setattr(sliding, "slide", lambda count, window, stride: real(count, window, stride + 1))


@pytest.mark.parametrize(
    ("family", "variant", "change", "wrong"),
    [
        ("qwen3", "exact", change_text, "prompts"),
        ("lb", "card", change_cut, "prompts"),
        ("lb", "card", change_formula, "scores"),
        ("bi_encoder", "plain", change_type, "scores"),
        ("listwise", "default", change_reading, "scores"),
        ("first", "raw", change_windows, "prompts and scores"),
    ],
)
def test_a_change_that_moves_a_number_is_seen_and_the_line_says_what_to_do(
    family: str,
    variant: str,
    change: Callable[[pytest.MonkeyPatch], None],
    wrong: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = compute_record(family, variant)
    assert find_differences(family, before, compute_record(family, variant)) is None
    change(monkeypatch)
    assert find_differences(family, before, compute_record(family, variant)) == (
        f"other {wrong} than recorded for version {RERANKERS[family].version}: raise version of RERANKER in "
        f"actors/rerankers/{family}.py and record it again with: python -m tests.actors.rerankers.versions"
    )


def test_what_is_recorded_stays_until_the_version_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "FILE", tmp_path / "versions.json")
    monkeypatch.setattr(versions, "VARIANTS", {"qwen3": VARIANTS["qwen3"]})
    assert versions.record_missing() == []
    first = read_versions()
    change_text(monkeypatch)
    line, *others = versions.record_missing()
    assert len(others) == len(VARIANTS["qwen3"]) - 1
    assert line.startswith("qwen3 (exact): other prompts than recorded for version 2: ")
    assert read_versions() == first
    monkeypatch.setitem(RERANKERS, "qwen3", replace(RERANKERS["qwen3"], version=3))
    assert versions.record_missing() == []
    assert read_versions()["qwen3"]["2"] == first["qwen3"]["2"] != read_versions()["qwen3"]["3"]
