"""A hub that is away for a moment is asked again; what will not change is raised at once."""

from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.check import hub
from pipeline.check.hub import load_tokenizer_patiently

ReadTimeout = type("ReadTimeout", (Exception,), {"__module__": "httpx2"})  # the client of today's huggingface_hub
AWAY = [
    OSError("We couldn't connect to 'https://huggingface.co' to load the files"),
    OSError("There was a specific connection error when trying to load m: 429 Client Error: Too Many Requests"),
    ReadTimeout("The read operation timed out"),
]


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waited: list[float] = []
    monkeypatch.setattr(hub, "time", SimpleNamespace(sleep=waited.append))  # threads of other tests go on sleeping
    return waited


def answers(monkeypatch: pytest.MonkeyPatch, *given: Any) -> None:
    left = list(given)

    def tokenizer(settings: Any, limit: int) -> Any:
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer, settings, limit

    monkeypatch.setattr(hub, "load_tokenizer", tokenizer)


def test_a_hub_that_comes_back_is_waited_for(monkeypatch: pytest.MonkeyPatch, waited: list[float]) -> None:
    answers(monkeypatch, *AWAY, "tokens")
    assert load_tokenizer_patiently("settings", 512) == ("tokens", "settings", 512)  # type: ignore[arg-type, comparison-overlap]
    assert [1 <= waited[0] <= 2, 2.5 <= waited[1] <= 5, 5 <= waited[2] <= 10] == [True] * 3


def test_one_that_stays_away_ends_in_its_own_words(monkeypatch: pytest.MonkeyPatch, waited: list[float]) -> None:
    answers(monkeypatch, *AWAY, AWAY[1])
    with pytest.raises(OSError, match="429"):
        load_tokenizer_patiently("settings", 512)  # type: ignore[arg-type]
    assert len(waited) == 3


@pytest.mark.parametrize(
    "error", [ValueError("no tokenizer.json"), OSError("acme/connect-reranker is not a valid model identifier")]
)
def test_what_will_not_change_is_raised_at_once(
    error: Exception, monkeypatch: pytest.MonkeyPatch, waited: list[float]
) -> None:
    answers(monkeypatch, error)
    with pytest.raises(type(error), match=str(error)):
        load_tokenizer_patiently("settings", 512)  # type: ignore[arg-type]
    assert not waited
