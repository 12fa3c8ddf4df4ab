"""The texts of training data: as the reranker read them, whatever the columns hold."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.to_training import main
from pipeline.output.commit import commit
from pipeline.storage.folder import Folder


def commit_rows(folder: Path, columns: dict[str, str], **rows: list[Any]) -> None:
    """A result of query q: d1 is a positive, and the others are not. columns: those of the input, in the config."""
    count = len(rows["doc"])
    fixed = {"query_id": ["q"] * count, "doc_id": [f"d{i + 1}" for i in range(count)]}
    scores = {"rank": pa.array(range(1, count + 1), pa.int32()), "rerank_score": [1.0 - i for i in range(count)]}
    (folder / "result" / "ranked").mkdir(parents=True)
    pq.write_table(pa.table(fixed | scores | rows), folder / "result" / "ranked" / "part.parquet")
    about: dict[str, Any] = {"parts": ["ranked/part.parquet"], "rejects": [], "tag": "tag"}
    commit(Folder(str(folder / "result")), about | {"config": {"input": {"columns": columns}}})
    (folder / "qrels").write_text("q 0 d1 1\n")


@pytest.mark.parametrize(
    ("columns", "carried", "positive"),
    [
        ({}, "title", "doc 1"),  # a column that the reranker did not read
        ({"title": "headline"}, "title", "T1 doc 1"),
        ({"title": "headline"}, "headline", "T1 doc 1"),
    ],
)
def test_a_title_stands_before_its_document_where_the_reranker_read_it(
    columns: dict[str, str], carried: str, positive: str, make: Any, tmp_path: Path
) -> None:
    rows: dict[str, list[Any]] = {"query": ["what"] * 3, "doc": ["doc 1", "doc 2", "doc 3"], carried: ["T1", None, " "]}
    commit_rows(tmp_path, columns, **rows)
    found, _ = make()
    assert [(row["positive"], row["negative"]) for row in found] == [(positive, "doc 2"), (positive, "doc 3")]


def test_titles_that_the_result_does_not_carry_are_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    commit_rows(tmp_path, {"title": "headline"}, query=["what"] * 2, doc=["doc 1", "doc 2"])
    paths = [str(tmp_path / "result"), "--positives", str(tmp_path / "qrels"), "--output", str(tmp_path / "out")]
    assert main(paths) == 2
    assert "has no column of titles, which the reranker read before documents" in capsys.readouterr().err


def test_a_query_without_a_text_is_dropped_as_that_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commit_rows(tmp_path, {}, query=pa.nulls(2, pa.string()), doc=["doc 1", "doc 2"])
    paths = [str(tmp_path / "result"), "--positives", str(tmp_path / "qrels"), "--output", str(tmp_path / "out")]
    assert main(paths) == 2
    assert "none of its 1 queries has a group: 1 x queries without a text\n" in capsys.readouterr().err


@pytest.mark.parametrize("file", ["parquet", "jsonl"])
def test_binary_texts_are_texts(file: str, make: Any, tmp_path: Path) -> None:
    texts: dict[str, list[Any]] = {"query": [b"what"] * 2, "doc": ["Zürich".encode(), b"doc 2"], "title": [b"T1", None]}
    commit_rows(tmp_path, {"title": "title"}, **texts)
    (row,), _ = make("--file", file)
    assert (row["anchor"], row["positive"], row["negative"]) == ("what", "T1 Zürich", "doc 2")


def test_a_text_of_a_positive_is_no_negative(make: Any, tmp_path: Path) -> None:
    commit_rows(tmp_path, {}, query=["what"] * 3, doc=["same", "same", "other"])
    found, figures = make()
    assert [row["negative"] for row in found] == ["other"]
    assert figures["dropped"]["candidates with the text of a positive"] == 1
