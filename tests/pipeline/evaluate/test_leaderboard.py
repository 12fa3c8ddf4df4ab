"""Several results against the first, and whether they ranked the same candidates."""

from pathlib import Path

from pipeline.evaluate.leaderboard import compare_with_first, describe_difference, find_warnings
from pipeline.evaluate.result import Result, read_judged_pairs
from pipeline.evaluate.runs import FUSION
from pipeline.evaluate.significance import compare, correct_by_holm
from tests.pipeline.evaluate.conftest import Evaluated
from tests.results import ranked, write_result


def test_each_against_the_first(evaluated: Evaluated) -> None:
    first, second, third = (evaluated(str(alpha), alpha=alpha) for alpha in (0.2, 0.6, 1.0))
    found = [comparison for comparison in compare_with_first([first, second, third]) if comparison.measure == "RR@10"]
    assert [(comparison.after, comparison.before) for comparison in found] == [("0.6", "0.2"), ("1.0", "0.2")]
    alone = [compare(first.values[FUSION][1], other.values[FUSION][1]) for other in (second, third)]
    assert [comparison.difference for comparison in found] == alone
    assert [comparison.p_t for comparison in found] == correct_by_holm([difference.p_t for difference in alone])


def test_results_of_other_candidates_are_named(evaluated: Evaluated) -> None:
    same, other = evaluated("same", alpha=0.7), evaluated("other", seed=5)
    assert find_warnings([evaluated("first"), same]) == []
    (line,) = find_warnings([evaluated("first"), same, other])
    assert line.startswith("other and first differ in more than their rerankers: ")
    assert line.endswith("pairs have another first-stage score")


def test_how_candidates_differ(tmp_path: Path) -> None:
    def result(name: str, scores: dict) -> Result:
        return read_judged_pairs(write_result(tmp_path / name, ranked(scores)), ["q1", "q2"])

    first = result(
        "first", {"q1": {"a": (1.0, 0.1), "b": (2.0, 0.2)}, "q2": {"a": (1.0, 0.3)}, "q3": {"a": (1.0, 0.3)}}
    )
    reranked = {"q1": {"b": (2.0, 0.9), "a": (1.0, None)}, "q2": {"a": (1.0, 0.8)}}  # q3 is not judged
    assert describe_difference(first, result("reranked", reranked)) == ""
    deeper = {"q1": {"a": (1.0, 0.1), "c": (2.0, 0.2), "d": (3.0, 0.3)}, "q2": {"a": (1.0, 0.3)}}
    assert (
        describe_difference(first, result("deeper", deeper))
        == "2 pairs are only in the one, 1 only in the other, 2 in both"
    )
    shifted = {"q1": {"a": (1.0, 0.1), "b": (2.5, 0.2)}, "q2": {"a": (1.0, 0.3)}}
    assert describe_difference(first, result("shifted", shifted)) == "1 of 3 pairs have another first-stage score"
