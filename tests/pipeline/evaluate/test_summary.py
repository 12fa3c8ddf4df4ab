"""The figures as data."""

import json

import pytest

from pipeline.evaluate.evaluation import TUNED, Evaluation
from pipeline.evaluate.qrels import Qrels
from pipeline.evaluate.runs import FIRST_STAGE, FUSION
from pipeline.evaluate.summary import collect_figures, collect_main_figures
from tests.pipeline.evaluate.conftest import Evaluated


def test_everything(evaluated: Evaluated, qrels: Qrels) -> None:
    several = [evaluated("a"), evaluated("b", seed=5)]
    found = json.loads(json.dumps(collect_figures(several, qrels), allow_nan=False))
    assert (found["queries"], found["judgements"]) == (13, sum(map(len, qrels.values())))
    assert [result["name"] for result in found["results"]] == ["a", "b"]
    first = found["results"][0]
    by_query = first["by_query"][FUSION]["nDCG@10"]
    assert sum(by_query.values()) / 13 == pytest.approx(first["means"][FUSION]["nDCG@10"])
    assert {line["after"] for line in found["against_first"]} == {"b"}
    assert len(found["warnings"]) == 1


def test_the_last_line(one: Evaluation) -> None:
    found = json.loads(json.dumps(collect_main_figures([one]), allow_nan=False))
    (result,) = found["results"]
    assert set(result["means"]) == {FIRST_STAGE, "reranker", FUSION, TUNED}
    gain = result["means"][FUSION]["nDCG@10"] - result["means"][FIRST_STAGE]["nDCG@10"]
    assert result["gain"]["mean"] == pytest.approx(gain)
