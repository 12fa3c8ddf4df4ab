"""jobs/to_qrels.py: its lines and figures equal a pandas computation, its measures those of ir_measures."""

import itertools
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import ir_measures
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats

from jobs.to_qrels import main
from jobs.to_trec import main as write_trec
from pipeline.errors import UsageError
from pipeline.judge.grade import Grading
from pipeline.judge.qrels import write_qrels
from pipeline.judge.systems import compute_tau, read_system
from pipeline.output.commit import commit
from pipeline.storage.folder import Folder
from tests.results import ranked, some_qrels, some_scores, write_result

QUERIES, DOCS = 12, 20
REASONS = [
    "the model wrote no answer: 'I cannot'",
    "the model's answer is cut off at 64 new tokens",
    "document is empty",
]


def make_rows(seed: int = 0) -> list[dict[str, Any]]:
    """Ranked rows with scores in quarters, and a few without one, for several reasons."""
    rows = ranked(some_scores(QUERIES, DOCS, seed))
    unscored = [row for row in rows if row["rerank_score"] is None]
    for row, reason in zip(unscored, itertools.cycle(REASONS), strict=False):
        row["reason"] = reason
    return rows


@pytest.fixture
def result(tmp_path: Path) -> str:
    return write_result(tmp_path / "judged", make_rows(), parts=3)


@pytest.fixture
def given(tmp_path: Path) -> str:
    """Judgements of half of the pairs, of others, and of a query that the result lacks."""
    qrels = some_qrels(QUERIES + 1, DOCS + 5)
    lines = [f"{query} 0 {doc} {grade}\n" for query, docs in qrels.items() for doc, grade in docs.items()]
    (tmp_path / "given.qrels").write_text("".join(lines))
    return str(tmp_path / "given.qrels")


def read(path: str | Path) -> pd.DataFrame:
    columns = ["query_id", "iteration", "doc_id", "grade"]
    return pd.read_csv(path, sep=" ", names=columns, dtype={"query_id": str, "doc_id": str})


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[str, dict[str, Any]]:
    """The lines for people, and the figures."""
    assert main([*arguments]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    return "\n".join(lines), json.loads(last)


@pytest.mark.parametrize(
    ("how", "grade"),
    [
        (["--round"], lambda scores: (scores + 0.5) // 1),
        (["--thresholds", "0.25", "1.5"], lambda scores: (scores >= 0.25) * 1.0 + (scores >= 1.5)),
        (["--score", "first_stage_score"], lambda scores: scores),
    ],
)
def test_lines_and_counts_equal_pandas(
    how: list[str], grade: Any, result: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.qrels"
    _, figures = run(capsys, result, "--output", str(out), *how)
    rows = pd.DataFrame(make_rows())
    column = "first_stage_score" if "--score" in how else "rerank_score"
    there = rows[rows[column].notna()]
    expected = there.assign(grade=grade(there[column]).astype(int))
    found = read(out)
    assert (found["iteration"] == 0).all()
    keys = ["query_id", "doc_id", "grade"]
    pd.testing.assert_frame_equal(
        found[keys].sort_values(keys, ignore_index=True), expected[keys].sort_values(keys, ignore_index=True)
    )
    assert (figures["rows"], figures["judged"]) == (len(rows), len(there))
    assert figures["queries"] == there["query_id"].nunique()
    assert figures["grades"] == {str(key): count for key, count in expected["grade"].value_counts().items()}
    reasons = rows[rows[column].isna()]["reason"]
    assert figures["without"] == Counter(reason.partition(":")[0].replace("64", "N") for reason in reasons)


def test_a_pair_without_a_score_has_no_line(result: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines, figures = run(capsys, result, "--output", str(tmp_path / "out"), "--round")
    unscored = {(row["query_id"], row["doc_id"]) for row in make_rows() if row["rerank_score"] is None}
    found = read(tmp_path / "out")
    assert unscored and not unscored & {*zip(found["query_id"], found["doc_id"], strict=True)}
    assert sum(figures["without"].values()) == len(unscored)
    assert "x the model wrote no answer" in lines and "I cannot" not in lines


def test_agreement_equals_pandas(result: str, given: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    lines, figures = run(capsys, result, "--output", str(out), "--round", "--against", given, "--min-grade", "2")
    against = figures["against"]
    ours, theirs = read(out), read(given)
    both = theirs.merge(ours, on=["query_id", "doc_id"], suffixes=("_given", "_judge"))
    table = pd.crosstab(both["grade_given"], both["grade_judge"])
    assert against["confusion"] == {
        str(row): {str(column): int(table.loc[row, column]) for column in table} for row in table.index
    }
    assert (against["both"], against["only_result"], against["only_given"]) == (
        len(both), len(ours) - len(both), len(theirs) - len(both),
    )  # fmt: skip
    for key, a, b in (
        ("", both["grade_given"], both["grade_judge"]),
        ("relevant_", both["grade_given"] >= 2, both["grade_judge"] >= 2),
    ):
        same = (a == b).mean()
        chance = (a.value_counts(normalize=True) * b.value_counts(normalize=True)).sum()
        assert against[f"{key}agreement"] == pytest.approx(same)
        assert against[f"{key}kappa"] == pytest.approx((same - chance) / (1 - chance))
    _, *rows = re.findall(r"^(?:given \\ judge|\d+) .*$", lines.partition("against")[2], re.M)
    assert [row.split()[1:] for row in rows] == [[str(count) for count in row] for row in table.to_numpy()]
    assert f"Cohen's kappa {against['kappa']:.3f}" in lines and "relevant from 2 on" in lines


def test_systems_under_both_judgements_equal_ir_measures(
    result: str, given: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = []
    for seed in range(1, 6):
        folder = write_result(tmp_path / f"system{seed}", ranked(some_scores(QUERIES + 1, DOCS, seed)))
        write_trec([folder, str(tmp_path / f"{seed}.trec")])
        runs.append(f"{seed}.trec" if seed % 2 else f"system{seed}")
    capsys.readouterr()
    paths = [str(tmp_path / name) for name in runs]
    out = str(tmp_path / "out")
    arguments = [result, "--output", out, "--round", "--against", given, "--measure", "AP@10", "--runs", *paths]
    lines, figures = run(capsys, *arguments)
    against = figures["against"]
    shared = {*read(out)["query_id"]} & {*read(given)["query_id"]}
    assert against["shared_queries"] == len(shared) == QUERIES, "not the query that the judge did not see"
    means = list[list[float]]()
    for seed, (name, pair) in enumerate(against["systems"].items(), 1):
        assert name.endswith(runs[seed - 1])
        scores = [row for row in ir_measures.read_trec_run(str(tmp_path / f"{seed}.trec")) if row.query_id in shared]
        means.append([])
        for qrels in (given, out):
            judged = [row for row in ir_measures.read_trec_qrels(qrels) if row.query_id in shared]
            means[-1].append(ir_measures.calc_aggregate([ir_measures.AP @ 10], judged, scores)[ir_measures.AP @ 10])
        assert pair == pytest.approx(means[-1])
    assert len({*map(tuple, means)}) == len(runs)
    tau = stats.kendalltau(*zip(*means, strict=True)).statistic
    assert against["tau"] == pytest.approx(tau) and f"two orders: {tau:.3f}" in lines


@pytest.mark.parametrize(
    ("pairs", "tau"),
    [
        ([(1, 10), (2, 20), (3, 30)], 1),
        ([(1, 30), (2, 20), (3, 10)], -1),
        ([(1, 1), (2, 3), (3, 2)], 1 / 3),
        ([(1, 1), (1, 2), (2, 3)], 2 / (3 * 2) ** 0.5),  # a tie on one side: 2 pairs of 3 there, and 3 on the other
        ([(1, 1), (1, 1)], None),
        ([(1, 1)], None),
    ],
)
def test_tau_b_is_the_one_worked_out_by_hand(pairs: list[tuple[float, float]], tau: float | None) -> None:
    assert compute_tau(pairs) == (tau if tau is None else pytest.approx(tau))


def test_lines_of_a_run_that_give_no_place_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.trec"
    lines = [
        "q1 Q0 a 1 2.0 x",
        "q1 Q0 b 2 nan x",
        "q1 Q0 c 3 3.0 x",
        "q1 Q0 a 4 9.0 x",
        "q2 Q0 a 1 inf x",
        "q3 Q0 a 1 nan x",
    ]
    path.write_text("\n".join(lines) + "\n")
    assert read_system(str(path), {"q1", "q2"}) == {"q1": ["c", "a"]}
    told = capsys.readouterr().err
    assert "x.trec: 2 lines of these queries are left out, without a document or a finite score" in told
    assert "x.trec: 1 lines of these queries are left out, of a document that its query has before" in told


def test_a_result_is_read_some_rows_at_a_time(result: str, tmp_path: Path) -> None:
    whole = write_qrels(result, str(tmp_path / "one"), Grading(round=True), "rerank_score")
    pieces = write_qrels(result, str(tmp_path / "two"), Grading(round=True), "rerank_score", batch_rows=7)
    assert whole == pieces and whole.queries == QUERIES
    assert (tmp_path / "one").read_text() == (tmp_path / "two").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            [],
            r"--score = 'rerank_score': \d\.\d+ of query 'q\d+', document 'd\d+' is no whole number; --round or --thr",
        ),
        (["--round", "--thresholds", "1"], "--round and --thresholds: one of the two"),
        (["--score", "reason"], "--score = 'reason': .* has no such column of numbers"),
        (["--score", "none"], "--score = 'none': .* has no such column of numbers"),
        (["--round", "--runs", "x.trec"], "--runs: systems are compared under two judgements; --against names the"),
        (["--round", "--against", "OUT"], "is a file of --against, which would be lost"),
        (["--round", "--against", "LINK"], "is a file of --against, which would be lost"),
        (["--round", "--against", "GIVEN", "--runs", "x.trec", "OUT"], "is a file of --runs, which would be lost"),
        (["--round", "--against", "OTHERS"], "--against: has none of the pairs that the result judges"),
        (["--round", "--against", "GIVEN", "--measure", "nope", "--runs", "x.trec"], "--measure 'nope'"),
        (["--round", "--against", "GIVEN", "--runs", "EMPTY.trec"], "EMPTY.trec: has none of the 12 judged queries"),
        (["--round", "--against", "GIVEN", "--runs", "x.trec", "x.trec"], "the same one is named twice"),
        (["--round", "--against", "GIVEN", "--runs", "nowhere"], "nowhere"),
    ],
)
def test_what_is_wrong_is_one_line_and_code_2(
    arguments: list[str],
    message: str,
    result: str,
    given: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "others").write_text("x 0 y 1\n")
    (tmp_path / "EMPTY.trec").write_text("x Q0 y 1 1 t\n")
    (tmp_path / "out").write_text("q1 0 d1 3\n")
    (tmp_path / "link").symlink_to(tmp_path / "out")
    places = {"OUT": str(tmp_path / "out"), "OTHERS": str(tmp_path / "others"), "GIVEN": given, "LINK": "link"}
    assert main([result, "--output", "out", *(places.get(one, one) for one in arguments)]) == 2
    if not {"EMPTY.trec", "nowhere"} & {*arguments} and arguments[-2:] != ["x.trec", "x.trec"]:
        assert (tmp_path / "out").read_text() == "q1 0 d1 3\n", "it is replaced by a whole file, or not at all"
    stdout, stderr = capsys.readouterr()
    assert stdout == "" and stderr.count("\n") == 1 and re.search(message, stderr), stderr


def test_of_a_result_with_stages_the_last_one_judges(tmp_path: Path) -> None:
    rows = [
        ("q", "a", 3.0, "judge", None),
        ("q", "b", None, "judge", "document is empty"),
        ("q", "c", 0.5, "cheap", None),
    ]
    table = pa.Table.from_pylist(
        [dict(zip(("query_id", "doc_id", "rerank_score", "stage", "reason"), row, strict=True)) for row in rows]
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    output, part = Folder(str(tmp_path / "staged")), "ranked/part-00000-0123456789ab.parquet"
    output.put(part, sink.getvalue().to_pybytes())
    commit(output, {"parts": [part], "rejects": [], "stages": [{"name": "cheap"}, {"name": "judge"}]})
    judged = write_qrels(output.url, str(tmp_path / "out"), Grading(), "rerank_score")
    assert (tmp_path / "out").read_text() == "q 0 a 3\n"
    assert judged.without == {"document is empty": 1, "not seen by the last stage": 1}


def test_a_failure_leaves_no_file(result: str, tmp_path: Path) -> None:
    assert main([result, "--output", str(tmp_path / "out")]) == 2
    assert not (tmp_path / "out").exists()


def test_ids_that_cannot_stand_in_qrels_and_results_without_a_score_are_refused(tmp_path: Path) -> None:
    for name, change, message in (
        ("space", {"doc_id": "d 1", "rerank_score": 1.0}, "doc_id 'd 1': is empty or has white space in it, which a"),
        ("none", {"rerank_score": None}, "none of its 1 rows has a judgement: 1 x no score"),
    ):
        row = ranked({"q": {"d": (1.0, 1.0)}})[0] | change
        folder = write_result(tmp_path / name, [row], parts=1)
        with pytest.raises(UsageError, match=message):
            write_qrels(folder, str(tmp_path / "out"), Grading(), "rerank_score")
