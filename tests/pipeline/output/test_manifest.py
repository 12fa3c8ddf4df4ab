"""The figures of a run's scoring, for sums that are written here."""

from collections import Counter

from pipeline.output.manifest import summarize_scoring

SUMS = Counter({"rows": 110, "failed": 4, "rejected": 6, "units_now": 3, "engines": 10.0, "prompt_tokens": 5000})


def test_what_a_run_scored_and_at_what_rate() -> None:
    figures = summarize_scoring(SUMS, {"plan": 1.0, "score": 20.0}, 0)
    assert (figures["scored_now"], figures["units_now"], figures["prompt_tokens"]) == (100, 3, 5000)
    assert figures["pairs_per_second"] == 100 / 20
    assert figures["seconds"] == {"plan": 1.0, "score": 20.0, "engines": 10.0}


def test_a_run_that_found_all_scores_has_no_rate() -> None:
    figures = summarize_scoring(Counter(), {"plan": 1.0}, None)
    assert (figures["scored_now"], figures["units_now"], figures["pairs_per_second"]) == (0, 0, None)
