"""From a real run to its figures: the job commits to S3, jobs/evaluate.py reads it there and judges it."""

import json
from collections.abc import Callable
from math import log2
from pathlib import Path

import pytest
import s3fs

from jobs.evaluate import main
from tests.pipeline.conftest import pairs, write


def ndcg_at_10(docs: list[str], grades: dict[str, int]) -> float:
    best = sorted(grades.values(), reverse=True)[:10]
    gain = sum(grades.get(doc, 0) / log2(place + 2) for place, doc in enumerate(docs[:10]))
    return gain / sum(grade / log2(place + 2) for place, grade in enumerate(best))


def test_a_run_and_its_figures(
    tmp_path: Path, s3_server: str, run: Callable[..., dict], capsys: pytest.CaptureFixture
) -> None:
    table = pairs().slice(0, 400)
    columns = {"columns": ["query", "doc"]}
    run(write(table, tmp_path / "in", 2), output={"path": "s3://bucket/judged", **columns})
    rows = [row for number, row in enumerate(table.to_pylist()) if number != 135]  # the pair that is there twice
    grades: dict[str, dict[str, int]] = {}
    for number, row in enumerate(rows):
        if number % 3 == 0:
            grades.setdefault(row["query_id"], {})[row["doc_id"]] = 1 + number % 2
    judged = {query: docs for query, docs in grades.items() if query != "q0"}
    lines = [f"{query}\t{doc}\t{grade}\n" for query, docs in judged.items() for doc, grade in docs.items()]
    s3fs.S3FileSystem().pipe("bucket/qrels.tsv", "".join(["query-id\tcorpus-id\tscore\n", *lines]).encode())
    capsys.readouterr()

    report, figures = f"{tmp_path}/report.html", "s3://bucket/figures.json"
    arguments = ["s3://bucket/judged", "--qrels", "s3://bucket/qrels.tsv", "--report", report, "--json", figures]
    assert main(arguments) == 0
    printed = capsys.readouterr().out.splitlines()
    (result,) = json.loads(printed[-1])["results"]

    first: dict[str, list[str]] = {}
    for row in sorted(rows, key=lambda row: (-row["score"], row["doc_id"])):
        first.setdefault(row["query_id"], []).append(row["doc_id"])
    expected = [ndcg_at_10(first[query], docs) for query, docs in judged.items()]
    assert result["means"]["first stage"]["nDCG@10"] == pytest.approx(sum(expected) / len(expected))
    everything = json.loads(s3fs.S3FileSystem().cat_file("bucket/figures.json"))
    by_query = everything["results"][0]["by_query"]["first stage"]["nDCG@10"]
    assert by_query == pytest.approx(dict(zip(judged, expected, strict=True)))
    assert everything["results"][0]["cost"]["pairs"] > 390
    text = Path(report).read_text(encoding="utf-8")
    assert "query number" in text and "about things" in text and "Where documents moved" in text
    assert f"report: {report}" in printed
