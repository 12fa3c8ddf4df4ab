"""The same engine, asked in another way or read otherwise, is another version: facts.numbers_version."""

from pathlib import Path
from typing import Any

import pytest

from actors.engines.vllm import arguments, facts
from tests.actors.engines.vllm import numbers
from tests.actors.engines.vllm.numbers import KINDS, compute_numbers, read_numbers
from tests.actors.rerankers.byte_tokenizer import save_byte_tokenizer


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_byte_tokenizer(tmp_path_factory.mktemp("model"))


@pytest.mark.parametrize("kind", KINDS)
def test_vllm_is_asked_and_read_as_was_recorded_for_the_version(kind: str, model: str) -> None:
    recorded = read_numbers().get(str(facts.numbers_version), {}).get(kind)
    assert compute_numbers(kind, model) == recorded, (
        "if scores change with it, raise numbers_version in actors/engines/vllm/facts.py, "
        f"else take the entry out of numbers.json; record it again with: {numbers.COMMAND}"
    )


def test_what_changes_no_score_is_free(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = compute_numbers("writing", model)
    monkeypatch.setattr(arguments, "CPU_CACHE_BYTES", 2**31)
    after = compute_numbers("writing", model)
    assert after.pop("CPU, one by one") != before.pop("CPU, one by one")  # where the last digit counts, all does
    assert after == before


def test_what_does_is_seen(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = compute_numbers("label head", model)
    real = arguments._label_head

    def change(*given: Any) -> dict[str, Any]:
        return real(*given) | {"method": "from_2_way_softmax"}

    monkeypatch.setattr(arguments, "_label_head", change)
    assert compute_numbers("label head", model) != before


def test_what_is_recorded_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbers, "FILE", tmp_path / "numbers.json")
    numbers.record_missing()
    first = read_numbers()
    assert [*first] == [str(facts.numbers_version)] and [*first[str(facts.numbers_version)]] == [*KINDS]
    monkeypatch.setattr(numbers, "GIVEN", {})
    numbers.record_missing()
    assert read_numbers() == first
