"""Rates from manifests that are written here as a run would."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Config
from pipeline.errors import UsageError
from pipeline.estimate.rate import make_rate, read_rate
from pipeline.output.commit import commit
from pipeline.storage.folder import Folder


@pytest.fixture
def earlier(lb_config: Callable, tmp_path: Path) -> Callable[..., tuple[str, Config]]:
    """The output of a run of 1,000 pairs, 110 s of scoring, 10 of them until the engines stood; and its config.

    units: that it scored; None as of a manifest of before they were counted.
    """

    def make(scored: int = 1000, units: int | None = None, score: float = 110.0, **sections: Any) -> tuple[str, Config]:
        config = lb_config("p", **sections)
        figures = {
            "scored_now": scored,
            "prompt_tokens": 50_000,
            "new_tokens": 3000,
            "seconds": {"plan": 1.0, "score": score, "engines": 10.0},
        }
        figures |= {} if units is None else {"units_now": units}
        manifest = {"figures": figures, "config": config.model_dump(mode="json"), "parts": [], "rejects": []}
        commit(Folder(str(tmp_path / "earlier")), manifest)
        return str(tmp_path / "earlier"), config

    return make


def test_the_rate_is_that_of_one_worker_without_the_start(earlier: Callable) -> None:
    rate = read_rate(*earlier(workers={"count": 4}))
    assert rate.pairs == (1000 / 100 / 4, 1000 / 100 / 4)
    assert (rate.prompt_tokens, rate.new_tokens, rate.start, rate.other) == (50, 3, 10, ())


def test_workers_that_had_no_unit_do_not_count(earlier: Callable) -> None:
    assert read_rate(*earlier(units=2, workers={"count": 4})).pairs == (1000 / 100 / 2, 1000 / 100 / 2)
    assert read_rate(*earlier(units=3, workers={"count": [1, 5]})).pairs == (1000 / 100 / 3, 1000 / 100 / 1)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({"units": 16}, []),
        ({"units": None}, []),
        ({"units": 15}, ["scored 15 units on 4 worker(s)"]),
        ({"units": 16, "score": 69.0}, ["scored for 59.0 s"]),
    ],
)
def test_a_run_too_small_to_go_by_is_doubted(made: dict, said: list[str], earlier: Callable) -> None:
    doubts = read_rate(*earlier(**made, workers={"count": 4})).doubts
    assert [part in line for part, line in zip(said, doubts, strict=True)] == [True] * len(said)


def test_of_an_autoscaling_pool_the_rate_is_a_range(earlier: Callable) -> None:
    assert read_rate(*earlier(workers={"count": [1, 5]})).pairs == (2, 10)


def test_what_differs_from_that_run_is_named(earlier: Callable, lb_config: Callable) -> None:
    output, _ = earlier()
    other = read_rate(output, lb_config("p", engine={"dtype": "bfloat16"}, reranker={"score": "notebook"})).other
    assert other == (
        "engine.dtype was 'float32', is 'bfloat16'",
        "reranker.score was 'card', is 'notebook'",
    )


def test_a_result_that_tells_no_rate_is_refused(earlier: Callable, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--from-manifest .*: that run scored nothing"):
        read_rate(*earlier(scored=0))
    with pytest.raises(UsageError, match=rf"--from-manifest '{tmp_path}': there is no finished result"):
        read_rate(str(tmp_path), earlier()[1])


@pytest.mark.parametrize("wrong", [0.0, -1.0, float("nan"), float("inf")])
def test_a_given_rate_is_above_0(wrong: float) -> None:
    with pytest.raises(UsageError, match="--pairs-per-second = "):
        make_rate(wrong)
