"""jobs/to_training.py: groups of a hand-made result equal a pandas loop, for each form and each sample."""

import json
import math
import random
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.to_training import main
from pipeline.output.commit import commit
from pipeline.storage.folder import Folder

QUERIES, MOST = 30, 12
SHARE = 0.1  # of all candidates, that have no score


def draw_result(folder: Path, parts: int = 3, low: float = -5, **columns: str) -> pd.DataFrame:
    """A committed result, with texts, of queries of 1 to MOST candidates."""
    draw, tables = random.Random(1), list[pd.DataFrame]()
    for query in range(QUERIES):
        scores = [None if draw.random() < SHARE else draw.uniform(low, 5) for _ in range(draw.randint(1, MOST))]
        scores.sort(key=lambda score: math.inf if score is None else -score)
        tables.append(
            pd.DataFrame(
                {
                    "query_id": f"q{query}",
                    "doc_id": [f"d{draw.randrange(1000)}-{rank}" for rank in range(len(scores))],
                    "rank": range(1, len(scores) + 1),
                    "rerank_score": pd.Series(scores, dtype="float64"),
                    "query": f"what is {query}",
                }
            )
        )
    found = pd.concat(tables, ignore_index=True)
    found["doc"] = "about " + found["doc_id"]
    found = found.assign(**columns)
    names = [f"ranked/part-{number:05d}-{number:012x}.parquet" for number in range(parts)]
    for number, name in enumerate(names):
        rows = found[found["query_id"].str[1:].astype(int) % parts == number]
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        table = pa.Table.from_pandas(rows, preserve_index=False)
        pq.write_table(table.set_column(2, "rank", table["rank"].cast(pa.int32())), folder / name, row_group_size=7)
    commit(Folder(str(folder)), {"parts": names, "rejects": [], "tag": "tag"})
    return found


def draw_positives(found: pd.DataFrame, file: Path, most: int = 2) -> dict[str, set[str]]:
    """One or two candidates of most queries, and documents that are none, with grade 2; and others of grade 0."""
    draw, positives, lines = random.Random(2), dict[str, set[str]](), list[str]()
    for query, rows in found.groupby("query_id", sort=False):
        docs = rows["doc_id"].tolist()
        chosen = draw.sample(docs, min(len(docs), draw.randint(0, most))) + (["none"] if draw.random() < 0.2 else [])
        positives[str(query)] = set(chosen)
        lines += [f"{query} 0 {doc} {2 if doc in chosen else 0}" for doc in {*chosen, docs[0]}]
    file.write_text("\n".join([*lines, "unknown 0 d1 1"]))
    return positives


def make_groups(
    found: pd.DataFrame,
    positives: dict[str, set[str]],
    negatives: int = 8,
    ranks: tuple[int, int] = (1, 10**6),
    margin: float = -math.inf,
    relative: float | None = None,
    least: float = -math.inf,
) -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
    """query -> its positives and its hardest negatives, in plain pandas."""
    groups = {}
    for query, rows in found.groupby("query_id", sort=False):
        scored = rows[rows["rerank_score"].notna()]
        good = scored[scored["doc_id"].isin(positives[str(query)]) & (scored["rerank_score"] >= least)]
        rest = scored[~scored["doc_id"].isin(positives[str(query)]) & scored["rank"].between(*ranks)]
        lowest = good["rerank_score"].min()
        rest = rest[rest["rerank_score"] <= lowest - margin]
        if relative is not None:
            rest = rest[rest["rerank_score"] <= lowest * (1 - relative)]
        if len(good) and len(rest):
            groups[str(query)] = (good, rest.head(negatives))
    return groups


FILTERS: list[tuple[list[str], dict[str, Any]]] = [
    ([], {}),
    (["--negatives", "2"], {"negatives": 2}),
    (["--ranks", "3", "6"], {"ranks": (3, 6)}),
    (["--margin", "1.5"], {"margin": 1.5}),
    (["--min-positive-score", "0.5"], {"least": 0.5}),
]
BY_FILTER = pytest.mark.parametrize("arguments, filters", FILTERS, ids=[" ".join(one[0]) or "none" for one in FILTERS])


@BY_FILTER
def test_triplets(arguments: list[str], filters: dict[str, Any], make: Any, tmp_path: Path) -> None:
    found = draw_result(tmp_path / "result")
    groups = make_groups(found, draw_positives(found, tmp_path / "qrels"), **filters)
    expected = [
        (good["query"], good["doc"], bad["doc"], good["rerank_score"] - bad["rerank_score"])
        for positives, negatives in groups.values()
        for _, good in positives.iterrows()
        for _, bad in negatives.iterrows()
    ]
    rows, figures = make(*arguments)
    assert sorted((row["anchor"], row["positive"], row["negative"], row["label"]) for row in rows) == sorted(expected)
    assert [*rows[0]] == ["anchor", "positive", "negative", "label"]
    assert (figures["queries"], figures["groups"]) == (QUERIES, len(groups))


@BY_FILTER
def test_lists_and_flagembedding(arguments: list[str], filters: dict[str, Any], make: Any, tmp_path: Path) -> None:
    found = draw_result(tmp_path / "result")
    groups = make_groups(found, draw_positives(found, tmp_path / "qrels"), **filters)
    lists, _ = make(*arguments, "--format", "labeled-list")
    flag, _ = make(*arguments, "--format", "flagembedding", "--file", "jsonl", name="flag")
    assert len(lists) == len(flag) == len(groups)
    texts = {rows["query"].iloc[0]: query for query, rows in found.groupby("query_id")}
    for one, other in zip(lists, flag, strict=True):
        good, bad = groups[texts[one["query"]]]
        assert one["docs"] == [*good["doc"], *bad["doc"]] == other["pos"] + other["neg"]
        assert one["labels"] == [*good["rerank_score"], *bad["rerank_score"]]
        assert one["labels"] == other["pos_scores"] + other["neg_scores"]
        assert len(other["pos"]) == len(good) and other["query"] == one["query"]


def test_a_relative_margin_is_a_share_of_the_positives_score(
    make: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = draw_result(tmp_path / "result", low=0)
    positives = draw_positives(found, tmp_path / "qrels")
    rows, _ = make("--relative-margin", "0.05", "--format", "labeled-list")
    groups = make_groups(found, positives, relative=0.05)
    assert [row["labels"] for row in rows] and len(rows) == len(groups) < len(make_groups(found, positives))
    assert sum(len(row["docs"]) for row in rows) == sum(len(good) + len(bad) for good, bad in groups.values())

    draw_result(tmp_path / "logits")
    paths = [str(tmp_path / "logits"), "--positives", str(tmp_path / "qrels"), "--output", str(tmp_path / "no")]
    assert main([*paths, "--relative-margin", "0.05"]) == 2
    assert "--relative-margin: a positive has the score -" in capsys.readouterr().err


@pytest.mark.parametrize("sample", ["random", "quantiles"])
def test_what_is_drawn_depends_on_the_seed_alone(sample: str, make: Any, tmp_path: Path) -> None:
    found = draw_result(tmp_path / "result")
    positives = draw_positives(found, tmp_path / "qrels")
    every = make_groups(found, positives, negatives=10**6)
    given = ("--format", "flagembedding", "--negatives", "3", "--sample", sample)
    rows, again, other = (
        make(*given, "--seed", seed, name=name)[0] for seed, name in (("1", "a"), ("1", "b"), ("2", "c"))
    )
    assert rows == again != other
    for row, (_, bad) in zip(rows, (every[f"q{row['query'].split()[-1]}"] for row in rows), strict=True):
        places = [bad["doc"].tolist().index(doc) for doc in row["neg"]]
        assert places == sorted({*places}) and len(places) == min(3, len(bad))
        if sample == "quantiles" and len(bad) > 3:
            bounds = [len(bad) * third // 3 for third in range(4)]
            assert all(bounds[n] <= place < bounds[n + 1] for n, place in enumerate(places))


def test_what_is_dropped_is_counted(make: Any, tmp_path: Path) -> None:
    rows = [("q", f"d{rank}", rank, score) for rank, score in enumerate([9.0, 8.5, 7.0, 6.0, 5.0, None], 1)]
    rows += [("p", "d1", 1, 3.0), ("p", "d2", 2, 2.0), ("r", "d1", 1, 1.0)]
    table = pa.table(
        {
            "query_id": [row[0] for row in rows],
            "doc_id": [row[1] for row in rows],
            "rank": pa.array([row[2] for row in rows], pa.int32()),
            "rerank_score": [row[3] for row in rows],
            "query": [f"what is {row[0]}" for row in rows],
            "doc": [f"{row[0]} {row[1]}" for row in rows],
            "title": ["A title" if row[1] == "d4" else None for row in rows],
        }
    )
    (tmp_path / "result" / "ranked").mkdir(parents=True)
    pq.write_table(table, tmp_path / "result" / "ranked" / "part.parquet")
    about: dict[str, Any] = {"parts": ["ranked/part.parquet"], "rejects": [], "tag": "tag"}
    commit(Folder(str(tmp_path / "result")), about | {"config": {"input": {"columns": {"title": "headline"}}}})
    (tmp_path / "qrels").write_text("q 0 d1 1\nq 0 d6 1\nq 0 gone 1\nr 0 d1 1\nunknown 0 d1 1\n")
    found, figures = make("--format", "flagembedding", "--negatives", "1", "--margin", "2", "--ranks", "1", "4")
    assert [(row["pos"], row["neg"]) for row in found] == [(["q d1"], ["q d3"])]
    assert figures["dropped"] == {
        "positives that are no candidates": 1,  # gone
        "positives without a score or text": 1,  # d6
        "candidates outside of --ranks": 1,  # d5
        "candidates too close to the positive": 1,  # d2
        "candidates not drawn": 1,  # d4
        "queries without a positive": 1,  # p
        "queries without a negative": 1,  # r
        "queries that are judged and not in the result": 1,
    }
    assert json.loads((tmp_path / "out" / "figures.yaml").read_text())["dropped"] == figures["dropped"]
    (row,), figures = make("--format", "flagembedding", "--negatives", "2", "--ranks", "4", "4", name="titled")
    assert figures["groups with fewer negatives than --negatives"] == 1
    assert row["neg"] == ["A title q d4"]


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["--format", "pairs"], "--format = 'pairs': known are triplet, labeled-list, flagembedding"),
        (["--sample", "best"], "--sample = 'best': known are top, random, quantiles"),
        (["--negatives", "0"], "--negatives = 0: should be 1 or more"),
        (["--ranks", "5", "1"], "--ranks = 5 1: should be two ranks"),
        (["--relative-margin", "5"], "--relative-margin = 5.0: should be a share"),
        (["--margin", "-1"], "--margin = -1.0: should be 0 or more"),
        (["--margin", "nan"], "--margin = nan: should be a number"),
        (["--min-positive-score", "nan"], "--min-positive-score = nan: should be a number"),
        (["--relative-margin", "0.05"], "--relative-margin: a positive has the score -"),
        (["--doc-column", "text"], "has no column 'text' for the doc; output.columns=[query,doc]"),
        (["--score", "doc"], "--score = 'doc': "),
    ],
)
def test_what_is_wrong_is_one_line(
    arguments: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = draw_result(tmp_path / "result")
    draw_positives(found, tmp_path / "qrels")
    paths = [str(tmp_path / "result"), "--positives", str(tmp_path / "qrels"), "--output", str(tmp_path / "out")]
    assert main([*paths, *arguments]) == 2
    stdout, stderr = capsys.readouterr()
    assert stdout == "" and stderr.count("\n") == 1 and says in stderr
    assert not (tmp_path / "out").exists() or not [*(tmp_path / "out").iterdir()]


def test_other_ids_and_an_output_that_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw_result(tmp_path / "result")
    (tmp_path / "qrels").write_text("1 0 d1 1\n")
    paths = [str(tmp_path / "result"), "--positives", str(tmp_path / "qrels"), "--output"]
    assert main([*paths, str(tmp_path / "out")]) == 2
    assert "none of its queries are in the result; there '1', here 'q0'" in capsys.readouterr().err
    assert main([*paths, str(tmp_path / "result")]) == 2
    assert "holds something else" in capsys.readouterr().err
