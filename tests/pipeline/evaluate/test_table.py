"""The figures as they are printed."""

from pipeline.evaluate.evaluation import Evaluation
from pipeline.evaluate.runs import FUSION
from pipeline.evaluate.table import align, format_tables
from tests.pipeline.evaluate.conftest import Evaluated


def test_one_result(one: Evaluation) -> None:
    lines = format_tables([one])
    assert lines[1] == "one: 13 judged queries, 240 pairs"
    assert lines[3].split() == ["nDCG@10", "RR@10", "R@10", "AP@100", "judged", "at", "10"]
    assert [line[:12].strip() for line in lines[4:8]] == ["first stage", "reranker", "fusion (zsco", "tuned fusion"]
    assert lines[6].split()[4:] == [*(f"{mean:.3f}" for mean in one.mean(FUSION)), f"{one.judged_at_10[FUSION]:.0%}"]
    assert [line.split("  ")[0] for line in lines[9:14]] == [
        "nDCG@10", "reranker - first stage", "fusion - first stage", "fusion - reranker", "tuned fusion - fusion",
    ]  # fmt: skip
    assert "Note: 1 of 13 judged queries are not in the result; they count as 0." in lines


def test_a_leaderboard_has_the_best_first_and_warns(evaluated: Evaluated) -> None:
    several = [evaluated("a", alpha=1.0), evaluated("b", alpha=0.2), evaluated("c", seed=5)]
    lines = format_tables(several)
    best_first = sorted(several, key=lambda one: -one.mean(FUSION)[0])
    assert [line[0] for line in lines[4:7]] == [one.name for one in best_first]
    assert [line.split("  ")[0] for line in lines[8:11]] == ["nDCG@10", "b - a", "c - a"]
    assert lines[11].startswith("Warning: c and a differ in more than their rerankers")
    assert not any(line.startswith("first stage ") for line in lines[:11])  # they have none in common


def test_columns_stand_below_each_other() -> None:
    assert align([["", "x", "long"], ["name", "1.5", ""], ["n", "", "2"]]) == [
        "        x  long",
        "name  1.5",
        "n               2".replace("  2", "2"),
    ]
