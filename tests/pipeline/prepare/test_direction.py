"""Runs whose scores go against their order, from the command to its line and its pairs; counts against pandas."""

import json
import random
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.prepare import main
from pipeline.cluster.in_process import InProcess
from pipeline.prepare.direction import count_directions
from pipeline.prepare.run import prepare

DOCS = [f"d{i}" for i in range(1, 7)]
NAMES = ["query_id", "doc_id", "rank", "score"]


def run(scores: dict[str, list[float]], shuffled: bool = False) -> pd.DataFrame:
    """Documents d1, d2, ... at rank 1, 2, ... with these scores."""
    rows = [(query, f"d{rank}", rank, score) for query, found in scores.items() for rank, score in enumerate(found, 1)]
    if shuffled:
        random.Random(1).shuffle(rows)
    return pd.DataFrame(rows, columns=NAMES)


FALL, RISE, UNEVEN = [9.0, 8.0, 8.0, 1.0], [0.1, 0.2, 0.2, 0.9], [9.0, 7.0, 8.0, 1.0]
# scores by rank, whether lines are in any order, the line
TOLD: dict[str, tuple[dict[str, list[float]], bool, str]] = {
    "scores": ({"q1": FALL, "q2": FALL}, False, ""),
    "in any order": ({"q1": FALL, "q2": FALL}, True, ""),
    "distances": (
        {"q1": RISE, "q2": RISE},
        False,
        "in 2 of 2 queries the ranks contradict the scores; is lower better?",
    ),
    "distances in any order": (
        {"q1": RISE, "q2": RISE},
        True,
        "in 2 of 2 queries the ranks contradict the scores; is low",
    ),
    "most are": (
        {"q1": RISE, "q2": RISE, "q3": FALL},
        True,
        "in 2 of 3 queries the ranks contradict the scores; is low",
    ),
    "a row here and there": (
        {"q1": FALL, "q2": UNEVEN},
        True,
        "in 1 of 2 queries the ranks contradict the scores, which",
    ),
    "one row, ties": ({"q1": [1.0], "q2": [1.0, 1.0, 1.0]}, False, ""),
}


@pytest.fixture
def job(
    write: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[pd.DataFrame, str]]:
    """Runs the command; gives the pairs and the lines about directions."""
    monkeypatch.setattr("jobs.prepare.prepare", lambda arguments: prepare(arguments, cluster=InProcess()))
    queries = write("queries.tsv", "q1\tone\nq2\ttwo\nq3\tthree\n")
    corpus = write("corpus.tsv", "".join(f"{doc}\ttext {doc}\n" for doc in DOCS))

    def job(*options: str, code: int = 0) -> tuple[pd.DataFrame, str]:
        files = ["--queries", queries, "--corpus", corpus, "--output", f"{tmp_path}/pairs", "--overwrite"]
        assert main([*files, *options]) == code
        lines = [line for line in capsys.readouterr().err.splitlines() if "contradict" in line or code]
        pairs = pq.read_table(tmp_path / "pairs").to_pandas() if not code else pd.DataFrame()
        return pairs, "\n".join(lines)

    return job


def write_run(frame: pd.DataFrame, path: Path) -> str:
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    elif path.suffix == ".tsv":
        frame.to_csv(path, sep="\t", index=False)
    else:
        path.write_text(
            "".join(f"{row.query_id} Q0 {row.doc_id} {row.rank} {row.score} t\n" for row in frame.itertuples())
        )
    return str(path)


@pytest.mark.parametrize("case", TOLD)
def test_what_is_told_of_ranks(case: str, job: Callable[..., tuple], tmp_path: Path) -> None:
    scores, shuffled, says = TOLD[case]
    path = write_run(run(scores, shuffled), tmp_path / "run.trec")
    _, told = job("--run", path)
    assert told.startswith(f"rayrank: --run = {path!r}: {says}" if says else "") and bool(told) == bool(says)


@pytest.mark.parametrize("ending", ["trec", "parquet", "jsonl", "tsv"])
@pytest.mark.parametrize("ranks", [True, False])
def test_distances_of_any_format_the_right_way_around(
    ending: str, ranks: bool, job: Callable[..., tuple], tmp_path: Path
) -> None:
    frame = run({"q1": [0.1, 0.2, 0.5, 0.6, 0.7, 0.9], "q2": [3.0, 4.0, 5.5]})
    if not ranks:
        frame["rank"] = 0
        frame = frame if ending == "trec" else frame.drop(columns="rank")
    path = write_run(frame, tmp_path / f"run.{ending}")
    _, told = job("--run", path, "--depth", "2")
    if ending == "trec" and not ranks:  # a rank that is 0 throughout is one, and says nothing
        assert told == ""
    else:
        assert "in 2 of 2 queries the ranks contradict the scores; is lower better? then give --lower-is-better" in told
    pairs, told = job("--run", path, "--depth", "2", "--lower-is-better")
    assert told == ""
    found = [(row.query_id, row.doc_id, row.score) for row in pairs.sort_values("query_id").itertuples()]
    assert found == [("q1", "d1", -0.1), ("q1", "d2", -0.2), ("q2", "d1", -3.0), ("q2", "d2", -4.0)]


def test_of_several_runs_one_may_have_distances(job: Callable[..., tuple], tmp_path: Path) -> None:
    scores = write_run(run({"q1": FALL}), tmp_path / "scores.trec")
    distances = write_run(run({"q1": RISE}), tmp_path / "distances.trec")
    _, told = job("--run", scores, "--run", distances)
    assert told.startswith(f"rayrank: --run = {distances!r}: in 1 of 1 ") and "\n" not in told
    pairs, told = job("--run", scores, "--run", distances, "--lower-is-better", distances)
    assert told == "" and pairs["doc_id"].tolist()[0] == "d1"
    _, told = job("--run", scores, "--run", distances, "--lower-is-better")
    assert told.startswith(f"rayrank: --run = {scores!r}: in 1 of 1 ") and told.endswith("leave out --lower-is-better")
    _, told = job("--run", scores, "--lower-is-better", distances, code=2)
    assert told == (
        f"rayrank: --lower-is-better {distances}: is no --run; give one as it is written there, or none for all"
    )


@pytest.mark.parametrize("seed", range(4))
def test_counts_are_those_of_pandas(seed: int) -> None:
    draw = random.Random(seed)
    rows = [
        (run, f"q{query}", draw.choice([1.0, 2.0, 3.0]), draw.choice([None, 1.0, 2.0, 3.0]))
        for query in range(12)
        for run in (0, 1)
        for _ in range(draw.randrange(1, 5))
    ]
    draw.shuffle(rows)
    frame = pd.DataFrame(rows, columns=["run", "query_id", "score", "rank"])
    by = frame.groupby(["run", "query_id"])["rank"]
    frame["rank"] = frame["rank"].where(by.transform("count") == by.transform("size"))  # all rows of a query, or none
    expected = {f"{what} {run}": 0 for what in ("ordered", "contrary", "reversed") for run in (0, 1)}
    for (number, _), group in frame.groupby(["run", "query_id"]):
        ranked = group["rank"].notna().all()
        group = group.sort_values("rank", kind="stable") if ranked else group
        here = group["rank"].tolist() if ranked else list(range(len(group)))
        scores = group["score"].tolist()
        steps = [scores[i + 1] - scores[i] for i in range(len(scores) - 1) if here[i + 1] > here[i]]
        up, down = sum(step > 0 for step in steps), sum(step < 0 for step in steps)
        if up + down if ranked else (up == 0 or down == 0) and up + down > 1:
            expected[f"ordered {number}"] += 1
            expected[f"contrary {number}"] += up > 0
            expected[f"reversed {number}"] += up > 0 and down == 0
    table = pa.Table.from_pandas(frame, preserve_index=False)
    assert count_directions(table.set_column(0, "run", table["run"].cast(pa.int16()))) == expected
    assert json.dumps(expected).count(": 0") < 3


def test_no_rows_show_nothing() -> None:
    assert not count_directions(pa.table({"run": [], "query_id": [], "score": [], "rank": []}))
