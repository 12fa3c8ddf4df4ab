"""Notes for a reader before trusting the figures."""

from dataclasses import replace

from pipeline.evaluate.evaluation import Evaluation
from pipeline.evaluate.notes import write_notes
from pipeline.evaluate.runs import FUSION
from tests.pipeline.evaluate.conftest import Evaluated


def test_what_applies_is_said(one: Evaluation) -> None:
    unscored = int((~one.result.scored).sum())
    assert write_notes(replace(one, judged_at_10={FUSION: 0.5})) == [
        "1 of 13 judged queries are not in the result; they count as 0.",
        f"{unscored} of 240 pairs have no reranker score; they rank last in their query.",
    ]


def test_a_result_that_was_cut(evaluated: Evaluated) -> None:
    assert write_notes(evaluated(output={"top_k": 1000}))[0].startswith(
        "The result keeps 1,000 documents of each query"
    )


def test_few_judgements(one: Evaluation) -> None:
    few = replace(one, judged_at_10=one.judged_at_10 | {FUSION: 0.34})
    assert write_notes(few)[-1].startswith("34% of the first ten documents of the fusion are judged.")


def test_queries_that_nobody_judged(one: Evaluation) -> None:
    figures = one.result.manifest["figures"] | {"queries": 1012}
    more = replace(one, result=replace(one.result, manifest=one.result.manifest | {"figures": figures}))
    assert "1,000 queries of the result are not judged, and have no part in these figures." in write_notes(more)


def test_a_run_that_fused_nothing(evaluated: Evaluated) -> None:
    assert write_notes(evaluated(method="none"))[-1].startswith("The result ranks by the reranker alone")
