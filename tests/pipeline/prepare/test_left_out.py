"""Documents that are no candidates by the rules of their collection: the query itself, and those that a file lists."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from jobs.prepare import main
from pipeline.cluster.in_process import InProcess
from pipeline.prepare.run import prepare

IDS = [f"a{i}" for i in range(6)]
RUN = [(query, doc, (7 * q + 5 * d) % 11 + d / 10) for q, query in enumerate(IDS[:3]) for d, doc in enumerate(IDS)]
EXCLUDED = {"a0": ["a1", "a5"], "a1": ["N/A"], "a2": ["a2", "a3"], "elsewhere": ["a0"]}
QUERY_AS_DOC = (
    "in 3 rows of the runs the document has the id of its query; if it is the query itself, as in ArguAna and"
)


@pytest.fixture
def job(
    write: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[pd.DataFrame, dict, list[str]]]:
    """Runs the command; gives pairs, figures and lines."""
    monkeypatch.setattr("jobs.prepare.prepare", lambda arguments: prepare(arguments, cluster=InProcess()))
    files = {
        "run": write("run.trec", "".join(f"{query} Q0 {doc} 1 {score} t\n" for query, doc, score in RUN)),
        "queries": write("queries.tsv", "".join(f"{id}\ttext {id}\n" for id in IDS[:3])),
        "corpus": write("corpus.tsv", "".join(f"{id}\ttext {id}\n" for id in IDS)),
    }
    rows = (json.dumps({"id": query, "excluded_ids": docs}) + "\n" for query, docs in EXCLUDED.items())
    write("excluded.jsonl", "".join(rows))
    write("other.jsonl", '{"id": "A0", "excluded_ids": ["a1"]}\n')

    def job(*options: str) -> tuple[pd.DataFrame, dict, list[str]]:
        inputs = [word for name, path in files.items() for word in (f"--{name}", path)]
        assert main([*inputs, "--output", f"{tmp_path}/pairs", "--depth", "4", *options]) == 0
        out, error = capsys.readouterr()
        told = [line.removeprefix("rayrank: ") for line in error.splitlines() if line.startswith("rayrank: ")]
        return pq.read_table(tmp_path / "pairs").to_pandas(), json.loads(out.splitlines()[-1]), told

    return job


@pytest.mark.parametrize("identical", [False, True])
@pytest.mark.parametrize("listed", [False, True])
def test_they_make_room_for_others_within_the_depth(
    identical: bool, listed: bool, job: Callable[..., tuple], tmp_path: Path
) -> None:
    options = ["--drop-identical-ids"] * identical + ["--excluded", f"{tmp_path}/excluded.jsonl"] * listed
    pairs, figures, told = job(*options)
    frame = pd.DataFrame(RUN, columns=["query_id", "doc_id", "score"])
    dropped = identical & (frame["query_id"] == frame["doc_id"])
    if listed:
        dropped |= frame.apply(lambda row: row.doc_id in EXCLUDED[row.query_id], axis=1)
    best = frame[~dropped].sort_values(["query_id", "score"], ascending=[True, False]).groupby("query_id").head(4)
    columns = ["query_id", "doc_id", "score"]
    pd.testing.assert_frame_equal(pairs[columns], best[columns].reset_index(drop=True), check_dtype=False)
    assert (figures["excluded_rows"], figures["identical_rows"]) == (dropped.sum(), 3)
    assert figures["run_rows"] == figures["pairs"] + figures["excluded_rows"] + figures["rows_beyond_depth"]
    assert len(told) == (not identical) and all(line.startswith(QUERY_AS_DOC) for line in told)


@pytest.mark.parametrize("identical", [False, True])
def test_a_list_that_leaves_nothing_out_is_told(identical: bool, job: Callable[..., tuple], tmp_path: Path) -> None:
    _, _, told = job("--excluded", f"{tmp_path}/other.jsonl", *["--drop-identical-ids"] * identical)
    assert told[-1] == (
        f"--excluded = '{tmp_path}/other.jsonl': leaves out no row of the runs; are the ids written alike?"
    )
