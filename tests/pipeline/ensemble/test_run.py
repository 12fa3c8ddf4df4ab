"""jobs/fuse.py: results and runs into one result, of the form that a run commits."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.evaluate import main as evaluate
from jobs.fuse import main
from pipeline.ensemble import run as module
from pipeline.ensemble.part import Arguments
from pipeline.ensemble.run import fuse
from pipeline.errors import RunError, UsageError
from pipeline.input.result import read_result
from pipeline.output.trec import write_trec
from pipeline.storage.folder import Folder
from tests.results import Scores, ranked, some_qrels, some_scores, write_result

Mixed = dict[tuple[str, str], float | None]
QUERIES, DOCS = 40, 12


def write_run(path: Path, scores: Scores) -> str:
    lines = [
        f"{query} Q0 {doc} {rank} {first} bm25\n"
        for query, docs in scores.items()
        for rank, (doc, (first, _)) in enumerate(sorted(docs.items(), key=lambda item: -item[1][0]), 1)
    ]
    path.write_text("".join(lines))
    return str(path)


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Any]:
    """Two results of 2 and 3 parts, and a run."""
    scores = [some_scores(QUERIES, DOCS, seed) for seed in range(3)]
    return {
        "results": [
            write_result(tmp_path / "one", ranked(scores[0]), parts=2, tag="1" * 12),
            write_result(tmp_path / "two", ranked(scores[1]), parts=3, tag="2" * 12),
        ],
        "runs": [write_run(tmp_path / "bm25.trec", scores[2])],
        "output": str(tmp_path / "mixed"),
    }


def read_rows(output: str) -> list[dict[str, Any]]:
    manifest = read_result(Folder(output))
    assert manifest
    return pa.concat_tables(pq.read_table(f"{output}/{part}") for part in manifest["parts"]).to_pylist()


def reciprocal_ranks(inputs: dict[str, Any], k: int, weights: list[float]) -> Mixed:
    """The formula, by the ranks in the files."""
    sums: dict[tuple[str, str], float] = {}
    places = []
    for result in inputs["results"]:
        rows = [row for row in read_rows(result) if row["score"] is not None]
        places.append({(row["query_id"], row["doc_id"]): row["rank"] for row in rows})
    run: dict[tuple[str, str], float] = {}
    for line in Path(inputs["runs"][0]).read_text().splitlines():
        query, _, doc, _, score, _ = line.split()
        run[query, doc] = float(score)
    order = sorted(run, key=lambda pair: (pair[0], -run[pair], pair[1]))
    places.append({pair: 1 + [p for p in order if p[0] == pair[0]].index(pair) for pair in order})
    for place, weight in zip(places, weights, strict=True):
        last: dict[str, int] = {}
        for (query, _), rank in place.items():
            last[query] = max(rank, last.get(query, 0))
        for pair in {pair for found in places for pair in found}:
            sums[pair] = sums.get(pair, 0.0) + weight / (k + place.get(pair, last[pair[0]]))
    return dict(sums)


@pytest.mark.parametrize("bucket_rows", [10**9, 500])
def test_ranks_are_those_of_the_formula_over_all_inputs(inputs: dict[str, Any], bucket_rows: int) -> None:
    figures = fuse(Arguments(**inputs, weights=[1.0, 2.0, 0.5]), bucket_rows=bucket_rows)
    rows = read_rows(inputs["output"])
    expected = reciprocal_ranks(inputs, 60, [1.0, 2.0, 0.5])
    found = {(row["query_id"], row["doc_id"]): row["score"] for row in rows}
    assert {pair: score for pair, score in found.items() if score is not None} == pytest.approx(expected)
    assert figures["rows"] == figures["ranked"] == len(rows) == QUERIES * DOCS
    assert figures["queries"] == QUERIES and figures["unscored"] == len(rows) - len(expected)
    one = figures["inputs"][inputs["results"][0]]
    assert one["scored"] + one["missing"] == len(expected)
    by_query: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_query.setdefault(row["query_id"], []).append(row)
    first = {(row["query_id"], row["doc_id"]): row["first_stage_score"] for row in read_rows(inputs["results"][0])}
    for mine in by_query.values():
        assert [row["rank"] for row in mine] == [*range(1, len(mine) + 1)]
        scores = [-1 if row["score"] is None else row["score"] for row in mine]  # -1 is below all of them
        keys = [(-score, -row["first_stage_score"], row["doc_id"]) for score, row in zip(scores, mine, strict=True)]
        assert keys == sorted(keys)
    assert all(row["first_stage_score"] == first[row["query_id"], row["doc_id"]] for row in rows)
    assert all(row["rerank_score"] == row["score"] for row in rows)
    assert not Path(inputs["output"], "_work").exists()


def test_the_job_says_what_it_did_and_its_result_is_read_like_a_runs(
    inputs: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    one, two = inputs["results"]
    order = [one, two, "--run", inputs["runs"][0], "--output", inputs["output"], "--method", "zscore", "--top-k", "5"]
    assert main(order) == 0
    said = capsys.readouterr()
    figures = json.loads(said.out.splitlines()[-1])
    assert figures["ranked"] == QUERIES * 5
    missing = figures["inputs"][one]["missing"]
    assert (
        missing
        and f"rayrank: {one}: {missing} of {missing + figures['inputs'][one]['scored']} candidates count as" in said.err
    )

    assert main(order) == 0
    said = capsys.readouterr()
    assert "the same result stands there" in said.err and json.loads(said.out.splitlines()[-1]) == figures
    before = read_rows(inputs["output"])
    assert main([*order, "--weights", "1", "0", "0"]) == 0
    assert read_rows(inputs["output"]) != before and len([*Path(inputs["output"], "ranked").iterdir()]) == 1

    qrels = tmp_path / "qrels"
    judged = some_qrels(QUERIES, DOCS)
    qrels.write_text("".join(f"{q} 0 {d} {grade}\n" for q, docs in judged.items() for d, grade in docs.items()))
    assert evaluate([inputs["output"], one, "--qrels", str(qrels), "--report", str(tmp_path / "r.html")]) == 0
    assert write_trec(inputs["output"], str(tmp_path / "run.trec"), "mix")["rows"] == QUERIES * 5


def test_texts_are_those_of_the_first_result_and_a_mix_can_be_mixed(tmp_path: Path) -> None:
    rows = ranked(some_scores(5, 4))
    texts = [row | {"doc": f"text of {row['doc_id']}"} for row in rows]
    one = write_result(tmp_path / "one", texts, texts={"doc": pa.large_string()})
    two = write_result(tmp_path / "two", rows, tag="2" * 12)
    mixed, again = str(tmp_path / "mixed"), str(tmp_path / "again")
    fuse(Arguments([one, two], mixed))
    fuse(Arguments([mixed, two], again, method="minmax"))
    assert {row["doc"] for row in read_rows(again)} == {row["doc"] for row in texts}


def test_a_run_of_distances_is_said_and_ranked_the_right_way_where_the_user_says_so(
    inputs: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    lines = [line.split() for line in Path(inputs["runs"][0]).read_text().splitlines()]
    path = tmp_path / "l2.trec"
    path.write_text("".join(f"{q} Q0 {d} {rank} {-float(score)} l2\n" for q, _, d, rank, score, _ in lines))
    distances = inputs | {"runs": [str(path)], "output": str(tmp_path / "distances")}
    fuse(Arguments(**distances))
    assert "the ranks contradict the scores; is lower better?" in capsys.readouterr().err
    fuse(Arguments(**distances, lower_is_better=[str(path)]))
    assert "contradict" not in capsys.readouterr().err
    fuse(Arguments(**inputs))
    assert read_rows(distances["output"]) == read_rows(inputs["output"])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"method": "none"}, r"--method = 'none': known methods are zscore, minmax, rrf"),
        ({"weights": [1.0]}, r"--weights = \[1\.0\]: one for each input is needed"),
        ({"weights": [1.0, -1.0, 0.0]}, r"--weights = .*: should be numbers of 0 or more"),
        ({"weights": [0.0, 0.0, 0.0]}, r"and not all 0"),
        ({"results": ["one", "one"]}, r"the same input is named twice"),
        ({"results": ["one"], "runs": []}, r"there is nothing to mix it with"),
        ({"results": ["one", "nothing"]}, r"nothing: holds no finished result"),
        ({"lower_is_better": ["one"]}, r"--lower-is-better = 'one': is no --run"),
        ({"output": "one"}, r"--output = .*/one': is one of the results"),
        ({"output": "other"}, r"--output = .*/other': holds something else"),
        ({"runs": ["gone.trec"]}, r"gone\.trec"),
        ({"runs": ["foreign.trec"]}, r"foreign\.trec: none of its 1 scored candidates is in another input"),
        ({"runs": ["twice.trec"]}, r"twice\.trec: has document 'd1' of query 'q1' twice"),
        ({"output": "s3://key:secret@bucket/x"}, r"--output"),
    ],
)
def test_what_cannot_be_mixed_is_refused(
    inputs: dict[str, Any], change: dict[str, Any], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_result(tmp_path / "other", ranked(some_scores(2, 2)), tag="3" * 12)
    Path("foreign.trec").write_text("Q1 Q0 D1 1 3.5 x\n")
    Path("twice.trec").write_text("q1 Q0 d1 1 3.5 x\nq1 Q0 d1 2 2.5 x\n")
    with pytest.raises(UsageError, match=says):
        fuse(Arguments(**inputs | change))
    assert read_result(Folder(inputs["output"])) is None


def test_an_input_that_changes_meanwhile_ends_it_and_the_result_before_stands(
    inputs: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fuse(Arguments(**inputs))
    before = read_result(Folder(inputs["output"]))
    real = module.read_again

    def replace(result: Any) -> Any:
        write_result(tmp_path / "two", ranked(some_scores(QUERIES, DOCS, 9)), parts=3, tag="4" * 12)
        return real(result)

    monkeypatch.setattr(module, "read_again", replace)
    with pytest.raises(RunError, match="an input has changed while it was read"):
        fuse(Arguments(**inputs, method="zscore"))
    assert read_result(Folder(inputs["output"])) == before
