"""Results judged without the documents that a collection's rules leave out, against ir_measures."""

import json
from pathlib import Path

import ir_measures
import numpy as np
import pytest

from jobs.evaluate import main
from pipeline.errors import UsageError
from pipeline.evaluate.result import leave_out, read_judged_pairs
from pipeline.input.excluded import LeftOut
from tests.results import Scores, ranked, some_scores, write_result

DOCS = [f"q{i}" for i in range(4)] + [f"d{i}" for i in range(8)]
SCORES = {
    query: dict(zip(DOCS, docs.values(), strict=True)) for query, docs in some_scores(4, len(DOCS)).items()
}  # the queries are documents, too
QRELS = {f"q{i}": {f"d{i}": 1, f"d{i + 3}": 2, f"q{(i + 1) % 4}": 1} for i in range(4)}
LISTED = {"q0": frozenset({"d0", "d7"}), "q3": frozenset({"q1"})}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_result(tmp_path / "result", ranked(SCORES))
    lines = [f"{query} 0 {doc} {grade}\n" for query, docs in QRELS.items() for doc, grade in docs.items()]
    (tmp_path / "qrels").write_text("".join(lines))
    rows = ({"qid": query, "excluded_ids": sorted(docs)} for query, docs in LISTED.items())
    (tmp_path / "excluded.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


@pytest.mark.parametrize("identical", [False, True])
@pytest.mark.parametrize("listed", [False, True])
def test_measures_are_those_of_what_remains(
    identical: bool, listed: bool, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--drop-identical-ids"] * identical + ["--excluded", "excluded.jsonl"] * listed
    assert main(["result", "--qrels", "qrels", "--json", "figures.json", *options]) == 0
    (result,) = json.loads((place / "figures.json").read_text())["results"]
    rows = [row for row in ranked(SCORES) if not (identical and row["query_id"] == row["doc_id"])]
    if listed:
        rows = [row for row in rows if row["doc_id"] not in LISTED.get(row["query_id"], ())]
    run: dict[str, dict[str, float]] = {}
    for row in rows:
        run.setdefault(row["query_id"], {})[row["doc_id"]] = -row["rank"]
    measures = [ir_measures.nDCG @ 10, ir_measures.RR @ 10, ir_measures.R @ 10]
    expected = ir_measures.calc_aggregate(measures, QRELS, run)
    assert result["means"]["fusion"] == pytest.approx(
        {**result["means"]["fusion"], **{str(measure): value for measure, value in expected.items()}}
    )
    assert result["pairs"] == len(rows)
    notes = "\n".join(result["notes"])
    assert ("In 4 pairs the document has the id of its query." in notes) == (not identical)
    assert (f"{4 * len(DOCS) - len(rows)} pairs are left out" in notes) == (identical or listed)


def test_a_query_all_of_whose_documents_are_left_out_is_missing(place: Path) -> None:
    result = read_judged_pairs(str(place / "result"), QRELS)
    left = leave_out(result, LeftOut(False, {"q1": frozenset(DOCS)}))
    assert left.query_ids == ["q0", "q2", "q3"]
    assert left.queries.tolist() == [query for query in left.query_ids for _ in DOCS]
    assert np.array_equal(left.first, result.first[result.queries != "q1"])
    assert np.array_equal(left.met, result.met[result.queries != "q1"])
    with pytest.raises(UsageError, match="leave out all of its judged pairs"):
        leave_out(result, LeftOut(False, {query: frozenset(DOCS) for query in QRELS}))


def test_a_measure_over_pairs_of_queries_is_told_and_in_the_figures(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores: Scores = {"7_q1": {"x": (2.0, 1.0), "y": (1.0, 2.0)}, "7_q2": {"x": (1.0, 1.0), "y": (2.0, 2.0)}}
    write_result(place / "pairs", ranked(scores, "none"), fusion={"method": "none"})
    (place / "qrels").write_text("7_q1 0 x 1\n7_q2 0 y 1\n")
    assert main(["pairs", "--qrels", "qrels", "--paired", "accuracy", "--json", "figures.json"]) == 0
    line = "accuracy over 1 pairs of queries: first stage 1.000, reranker 0.000, fusion 0.000."
    assert f"Note: {line}" in capsys.readouterr().out
    (result,) = json.loads((place / "figures.json").read_text())["results"]
    values = {"first stage": 1.0, "reranker": 0.0, "fusion": 0.0}
    assert result["paired"] == [{"measure": "accuracy", "pairs": 1, "missing": 0, "values": values}]
    assert line in (place / "report.html").read_text()
