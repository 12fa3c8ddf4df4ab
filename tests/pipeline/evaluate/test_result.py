"""A committed result is read through its manifest, and nothing else is taken for one."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pipeline.evaluate.result
from pipeline.errors import UsageError
from pipeline.evaluate.result import Result, read_judged_pairs, read_texts, shorten_names
from pipeline.storage.folder import Folder
from tests.results import Scores, ranked, some_scores, write_result

SCORES: Scores = {
    "q2": {"b": (1.0, 0.5), "a": (1.0, 0.5)},
    "q10": {"é": (3.0, None), "z": (2.0, -0.0)},
    "q3": {"x": (1.0, 1.0)},
}


def test_the_judged_queries_sorted_by_query_and_document(tmp_path: Path) -> None:
    result = read_judged_pairs(write_result(tmp_path, ranked(SCORES)), ["q2", "q10", "nowhere"])
    assert result.query_ids == ["q10", "q2"]
    assert result.query.tolist() == [0, 0, 1, 1]
    assert result.docs.tolist() == ["z", "é", "a", "b"]  # by bytes
    assert result.rank.tolist() == [1, 2, 1, 2]
    assert result.scored.tolist() == [True, False, True, True]
    np.testing.assert_equal(result.rerank, [0.0, np.nan, 0.5, 0.5])
    np.testing.assert_equal(result.first, [2.0, 3.0, 1.0, 1.0])
    assert (result.fusion.method, result.fusion.alpha, result.top_k) == ("zscore", 0.2, None)


def test_pairs_without_a_first_stage_score_have_the_lowest_of_their_query(tmp_path: Path) -> None:
    rows = ranked(SCORES | {"q4": {"m": (5.0, 1.0), "n": (2.0, 0.0), "o": (7.0, 2.0)}})
    for row in rows:
        if row["doc_id"] in ("o", "a", "b"):
            row["first_stage_score"] = None
    result = read_judged_pairs(write_result(tmp_path, rows), ["q2", "q4"])
    assert result.docs.tolist() == ["a", "b", "m", "n", "o"] and (~result.met).sum() == 3
    assert result.first.tolist() == [0.0, 0.0, 5.0, 2.0, 2.0]


def test_parts_that_the_manifest_does_not_name_are_not_read(tmp_path: Path) -> None:
    url = write_result(tmp_path, ranked(SCORES))
    stale = tmp_path / "ranked/part-00000-ffffffffffff.parquet"
    pq.write_table(pa.table({"query_id": ["q2"], "doc_id": ["stale"]}), stale)
    assert "stale" not in read_judged_pairs(url, ["q2"]).docs


def test_from_a_store_in_memory() -> None:
    url = write_result("memory://evaluated/out", ranked(SCORES))
    assert read_judged_pairs(url, ["q3"]).docs.tolist() == ["x"]


def test_no_result_is_said_plainly(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no committed result: there is no manifest.json"):
        read_judged_pairs(str(tmp_path), ["q2"])
    url = write_result(tmp_path, ranked(SCORES))
    success = (tmp_path / "_SUCCESS").read_bytes()
    (tmp_path / "_SUCCESS").write_text("0" * 64)
    with pytest.raises(UsageError, match=r"no committed result: _SUCCESS and manifest.json do not belong together"):
        read_judged_pairs(url, ["q2"])
    (tmp_path / "_SUCCESS").unlink()
    with pytest.raises(UsageError, match="no committed result: _SUCCESS is missing"):
        read_judged_pairs(url, ["q2"])
    (tmp_path / "_SUCCESS").write_bytes(success)
    (tmp_path / "ranked/part-00001-0123456789ab.parquet").unlink()
    with pytest.raises(UsageError, match="a part that the manifest names is gone"):
        read_judged_pairs(url, ["q2"])
    with pytest.raises(UsageError, match="s4://bucket/out: cannot be read: Protocol not known: s4"):
        read_judged_pairs("s4://bucket/out", ["q2"])


def test_ids_that_do_not_meet_are_shown(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has none of the 2 judged queries \('2', ...\).* The result has 'q2', ..."):
        read_judged_pairs(write_result(tmp_path, ranked(SCORES)), ["2", "3"])


def test_a_reader_that_is_overtaken_starts_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the manifest and the parts a re-rank replaces both."""
    url = write_result(tmp_path, ranked(SCORES))
    real, seen = pipeline.evaluate.result.read_result, []

    def overtaken(folder: Folder) -> dict | None:
        manifest = real(folder)
        seen.append(manifest and manifest["tag"])
        if len(seen) == 1:
            write_result(tmp_path, ranked({"q2": {"new": (1.0, 1.0)}}), tag="fedcba987654")
        return manifest

    monkeypatch.setattr(pipeline.evaluate.result, "read_result", overtaken)
    assert read_judged_pairs(url, ["q2"]).docs.tolist() == ["new"]
    assert seen == ["0123456789ab", "fedcba987654"]


TEXTS = {"query": pa.large_string(), "doc": pa.large_string()}


def with_texts(**columns: str) -> list[dict]:
    return [row | {name: text.format(**row) for name, text in columns.items()} for row in ranked(SCORES)]


def test_texts_of_some_queries(tmp_path: Path) -> None:
    rows = with_texts(query="text of {query_id}", doc="text of {doc_id}")
    rows[0]["doc"] = None
    result = read_judged_pairs(write_result(tmp_path, rows, texts=TEXTS), ["q10", "q2", "q3"])
    assert read_texts(result, ["q10"]) == (
        {"q10": "text of q10"},
        {("q10", "z"): "", ("q10", "é"): "text of é"},
    )


def test_texts_that_were_carried_under_the_input_s_own_names(tmp_path: Path) -> None:
    url = write_result(
        tmp_path,
        with_texts(passage="text of {doc_id}"),
        texts={"passage": pa.large_string()},
        input={"columns": {"doc": "passage"}},
    )
    assert read_texts(read_judged_pairs(url, ["q3"]), ["q3"]) == ({}, {("q3", "x"): "text of x"})


def test_a_result_without_texts_has_none(tmp_path: Path) -> None:
    assert read_texts(read_judged_pairs(write_result(tmp_path, ranked(SCORES)), ["q3"]), ["q3"]) == ({}, {})


def test_texts_of_another_result_are_never_shown_beside_this_one_s_ranks(tmp_path: Path) -> None:
    result = read_judged_pairs(write_result(tmp_path, ranked(SCORES)), ["q3"])
    write_result(tmp_path, ranked(SCORES, alpha=0.5), tag="fedcba987654")
    with pytest.raises(UsageError, match="another result has taken its place"):
        read_texts(result, ["q3"])


def test_only_what_is_judged_is_in_memory(tmp_path: Path) -> None:
    result: Result = read_judged_pairs(write_result(tmp_path, ranked(some_scores(40, 5))), ["q7"])
    assert len(result.docs) == 5


def test_names_are_as_short_as_tells_them_apart() -> None:
    assert shorten_names(["s3://bucket/lb/out/"]) == ["lb/out"]
    assert shorten_names(["s3://bucket/lb/out", "s3://bucket/rank1/out"]) == ["lb/out", "rank1/out"]
    assert shorten_names(["/a/x/out", "/b/x/out"]) == ["a/x/out", "b/x/out"]
    assert shorten_names(["out"]) == ["out"]
