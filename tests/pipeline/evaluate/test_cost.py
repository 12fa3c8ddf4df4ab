"""The cost of a run, by hand."""

import pytest

from pipeline.evaluate.cost import read_cost

FIGURES = {
    "scored_now": 7200,
    "pairs_per_second": 100.0,
    "prompt_tokens": 720_000,
    "cached_tokens": 180_000,
    "new_tokens": 72_000,
    "seconds": {"score": 72.0},
}
WORKERS = {"count": [2, 4], "num_gpus": 1.0, "num_cpus": None}


def test_of_a_run_that_scored() -> None:
    found = read_cost({"figures": FIGURES, "config": {"workers": WORKERS}})
    assert found and (found.pairs, found.seconds, found.workers, found.gpus) == (7200, 72.0, 4, 1.0)
    assert found.tokens_per_pair == pytest.approx(110)
    assert found.cached_share == pytest.approx(0.25)
    # 4 workers for 72 seconds are 0.08 hours, for 0.0072 million pairs
    assert found.worker_hours_per_million == pytest.approx(0.08 / 0.0072)


def test_of_a_run_that_found_its_scores_there() -> None:
    again = FIGURES | {"scored_now": 0, "pairs_per_second": None, "seconds": {"plan": 0.1}}
    assert read_cost({"figures": again, "config": {"workers": WORKERS}}) is None
