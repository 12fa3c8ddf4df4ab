"""Measures by formulas written out, and by ir_measures from a run file that our code did not rank."""

from math import log2
from pathlib import Path

import ir_measures
import numpy as np
import pytest

from pipeline.errors import UsageError
from pipeline.evaluate.measures import DEFAULT_MEASURES, find_depth, find_first_relevant, make_judge, parse_measures
from pipeline.evaluate.result import read_judged_pairs
from pipeline.evaluate.runs import FUSION, list_docs, make_rankings
from tests.results import ranked, some_qrels, some_scores, write_result

QRELS = {"q1": {"a": 2, "b": 1}, "q2": {"y": 1, "lost": 1}, "q3": {"x": 2}}
RUN = {"q1": ["d", "b", "c", "a"], "q2": ["y", "x", "z"]}


def test_by_the_formulas_over_all_judged_queries() -> None:
    ndcg, rr, recall, ap = make_judge(parse_measures(DEFAULT_MEASURES), QRELS)(RUN)
    best_q1, best_q2 = 2 / log2(2) + 1 / log2(3), 1 / log2(2) + 1 / log2(3)
    assert ndcg == pytest.approx([(1 / log2(3) + 2 / log2(5)) / best_q1, (1 / log2(2)) / best_q2, 0])
    assert rr == pytest.approx([1 / 2, 1, 0])
    assert recall == pytest.approx([2 / 2, 1 / 2, 0])
    assert ap == pytest.approx([(1 / 2 + 2 / 4) / 2, (1 / 1) / 2, 0])


def test_exponential_gain_by_its_formula_with_ids_that_are_no_numbers() -> None:
    """It is computed by gdeval, which takes only numbers for queries, and rounds to 5 digits."""
    (ndcg,) = make_judge(parse_measures(["nDCG(dcg='exp-log2')@3"]), QRELS)(RUN)
    best_q1, best_q2 = 3 / log2(2) + 1 / log2(3), 1 / log2(2) + 1 / log2(3)
    assert ndcg == pytest.approx([(1 / log2(3)) / best_q1, (1 / log2(2)) / best_q2, 0], abs=1e-5)


def test_as_ir_measures_finds_them_from_a_run_file(tmp_path: Path) -> None:
    """The file has the ranks of the formulas in tests/ and scores without ties; the result has ties in both stages."""
    scores, qrels = some_scores(20, 40), some_qrels(22, 45)
    rows = ranked(scores)
    names = ["nDCG@10", "RR(rel=2)@10", "AP@100", "P@3", "Bpref", "Rprec", "Judged@10"]
    lines = [f"{row['query_id']} Q0 {row['doc_id']} {row['rank']} {1000 - row['rank']} x\n" for row in rows]
    (tmp_path / "run").write_text("".join(lines))
    (tmp_path / "qrels").write_text("".join(f"{q} 0 {d} {g}\n" for q, docs in qrels.items() for d, g in docs.items()))
    measures = parse_measures(names)
    expected = ir_measures.calc_aggregate(
        measures, ir_measures.read_trec_qrels(str(tmp_path / "qrels")), ir_measures.read_trec_run(str(tmp_path / "run"))
    )
    result = read_judged_pairs(write_result(tmp_path / "result", rows), qrels)
    means = make_judge(measures, qrels)(list_docs(result, make_rankings(result)[FUSION])).mean(axis=1)
    assert dict(zip(measures, means.tolist(), strict=True)) == pytest.approx(expected)


def test_what_lies_deeper_than_the_cutoffs_changes_nothing() -> None:
    measures = parse_measures([*DEFAULT_MEASURES, "P@5", "Judged@10", "Success@5"])
    qrels = some_qrels(10, 200)
    deep = {query: [f"d{(7 * place) % 200}" for place in range(200)] for query in qrels}
    cut = {query: docs[: find_depth(measures)] for query, docs in deep.items()}
    assert find_depth(measures) == 100
    assert np.array_equal(make_judge(measures, qrels)(deep), make_judge(measures, qrels)(cut))
    assert find_depth(parse_measures(["nDCG@10", "AP"])) is None
    assert find_depth(parse_measures(["IPrec@0.5"])) is None


def test_names() -> None:
    assert [str(measure) for measure in parse_measures(["nDCG@10", "R@5", "nDCG@10"])] == ["nDCG@10", "R@5"]
    for name in ("ndgc@10", "R@", "nDCG@ten", "AP(x=1)", "nDCG@0.5", "ndcg_cut_10", "alpha_nDCG@10"):
        with pytest.raises(UsageError, match=f"--measure {name!r}: ".replace("(", r"\(").replace(")", r"\)")):
            parse_measures([name])


def test_first_relevant() -> None:
    assert find_first_relevant(["a", "b", "c"], {"b": 1, "c": 2}) == 2
    assert find_first_relevant(["a"], {"a": 0, "b": 1}) is None


def test_a_program_that_fails_is_named_on_one_line() -> None:
    """gdeval, a Perl script that ir_measures starts for the exponential gain, takes no id with a space in it."""
    measures = parse_measures(["nDCG(dcg='exp-log2')@5"])
    with pytest.raises(UsageError, match=r"--measure: nDCG\(dcg='exp-log2'\)@5: the program .* failed: "):
        make_judge(measures, {"q1": {"a b": 1}})({"q1": ["a b"]})


def test_a_measure_of_judged_documents_alone_looks_at_all_of_them() -> None:
    assert find_depth(parse_measures(["nDCG@10", "RR@20"])) == 20
    assert find_depth(parse_measures(["nDCG@10", "nDCG(judged_only=True)@10"])) is None


@pytest.mark.parametrize("name", ["NumRet", "NumQ", "NumRelRet"])
def test_a_sum_over_queries_is_no_mean(name: str) -> None:
    with pytest.raises(UsageError, match=f"--measure '{name}': is a sum over queries"):
        parse_measures([name])
