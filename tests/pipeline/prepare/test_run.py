"""pipeline/prepare/run.py: the whole join, bucket by bucket, against pandas, which joins in memory."""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from pipeline.cluster.in_process import InProcess
from pipeline.errors import UsageError
from pipeline.prepare.run import Arguments, WriteShard, prepare
from pipeline.prepare.sizes import Sizes

QUERIES, DOCS = 24, 160
COUNTS = [
    "unusable_rows",
    "unknown_query_rows",
    "repeated_rows",
    "shared_rows",
    "rows_beyond_depth",
    "unknown_doc_rows",
]


# Pieces, buckets, blocks and files of a few rows each.
SMALL = Sizes(
    piece_bytes=7000,
    window_bytes=1500,
    query_bucket_bytes=6000,
    doc_bucket_bytes=3000,
    doc_bucket_docs=10,
    block_rows=16,
    file_bytes=2500,
)


def run_rows(seed: int, queries: int = QUERIES) -> list[tuple[str, str, float]]:
    """Ties, repeated rows, queries and documents that nobody knows."""
    rng = random.Random(seed)
    rows = []
    for q in range(queries + 2):
        docs = rng.choices(range(DOCS + 9), k=rng.randrange(1, 30))
        rows += [(f"q{q}", f"d{doc}", rng.choice([0.5, 1.5, rng.random()])) for doc in docs]
    rng.shuffle(rows)
    return rows


@pytest.fixture
def collection(write: Callable[..., str]) -> Iterator[dict[str, str]]:
    docs = [{"_id": f"d{i}", "title": "T" if i % 3 else "", "text": f"text of {i} " * (i % 7)} for i in range(DOCS)]
    queries = [{"_id": f"q{i}", "text": f"query {i}"} for i in range(QUERIES + 5) if i not in (QUERIES, QUERIES + 1)]
    docs.insert(100, docs[3] | {"text": "a later text of d3"})
    yield {
        "corpus": write("corpus.jsonl", "".join(json.dumps(doc) + "\n" for doc in docs)),
        "queries": write("queries.jsonl", "".join(json.dumps(query) + "\n" for query in queries)),
        **{
            f"run{seed}": write(
                f"run{seed}.trec", "".join(f"{q} Q0 {d} 1 {score!r} t\n" for q, d, score in run_rows(seed))
            )
            for seed in (1, 2)
        },
    }


def run(
    collection: dict[str, str], output: Path, *runs: str, sizes: Sizes = Sizes(), **arguments: Any
) -> dict[str, Any]:
    """Prepares the pairs in this process."""
    paths = [collection[name] for name in runs or ("run1",)]
    arguments = {"depth": 10, "shard_rows": 50} | arguments
    return prepare(
        Arguments(paths, [collection["queries"]], [collection["corpus"]], str(output), **arguments), sizes, InProcess()
    )


def shards(output: Path) -> list[pd.DataFrame]:
    return [pq.read_table(path).to_pandas() for path in sorted(output.glob("*.parquet"))]


def best(rows: list[tuple[str, str, float]]) -> pd.DataFrame:
    """One row a query and document, in trec_eval's order, with its rank."""
    frame = pd.DataFrame(rows, columns=["query_id", "doc_id", "score"])
    frame = frame.sort_values(["query_id", "score", "doc_id"], ascending=[True, False, False])
    frame = frame.drop_duplicates(["query_id", "doc_id"])
    return frame.assign(rank=frame.groupby("query_id").cumcount() + 1)


def expected(collection: dict[str, str], ranked: pd.DataFrame, depth: int = 10) -> pd.DataFrame:
    queries = pd.read_json(collection["queries"], lines=True).rename(columns={"_id": "query_id", "text": "query"})
    docs = pd.read_json(collection["corpus"], lines=True).rename(columns={"_id": "doc_id", "text": "doc"})
    docs = docs.drop_duplicates("doc_id")
    ranked = ranked.merge(queries, on="query_id")
    ranked = ranked.sort_values(["query_id", "score", "doc_id"], ascending=[True, False, False])
    joined = ranked.groupby("query_id").head(depth).merge(docs, on="doc_id")
    joined = joined.sort_values(["query_id", "score", "doc_id"], ascending=[True, False, False])
    return joined[["query_id", "query", "doc_id", "doc", "title", "score"]].reset_index(drop=True)


def same(found: list[pd.DataFrame], wanted: pd.DataFrame) -> None:
    """The same rows; queries in any order, those of one adjacent and in their order."""
    whole = pd.concat(found, ignore_index=True)
    changes = (whole["query_id"] != whole["query_id"].shift()).sum()
    assert changes == whole["query_id"].nunique()
    assert not (whole["title"] == "").any()  # it is null then
    whole = whole.sort_values("query_id", kind="stable", ignore_index=True).fillna({"title": ""})
    pd.testing.assert_frame_equal(whole, wanted, check_dtype=False, rtol=1e-12)


@pytest.mark.parametrize("sizes", [Sizes(), SMALL], ids=["one bucket", "many buckets"])
def test_pairs_are_those_of_a_join_in_memory(sizes: Sizes, collection: dict[str, str], tmp_path: Path) -> None:
    figures = run(collection, tmp_path / "pairs", sizes=sizes)
    found = shards(tmp_path / "pairs")
    same(found, expected(collection, best(run_rows(1))))
    assert figures["shards"] == len(found) > 3
    assert figures["pairs"] == sum(map(len, found))
    assert figures["queries"] == sum(frame["query_id"].nunique() for frame in found) == QUERIES
    assert max(map(len, found)) - min(map(len, found)) <= 30  # before unknown documents, one query is 10 rows at most


def test_several_runs_are_fused(collection: dict[str, str], tmp_path: Path) -> None:
    figures = run(collection, tmp_path / "pairs", "run1", "run2", sizes=SMALL)
    both = pd.concat([best(run_rows(1)), best(run_rows(2))])
    fused = (1 / (60 + both["rank"])).groupby([both["query_id"], both["doc_id"]]).sum().rename("score").reset_index()
    fused["score"] = fused["score"].round(15)  # sums in another order
    wanted = expected(collection, fused)
    found = [frame.assign(score=frame["score"].round(15)) for frame in shards(tmp_path / "pairs")]
    same(found, wanted)
    assert figures["shared_rows"] > 0


@pytest.mark.parametrize("runs", [("run1",), ("run1", "run2")])
def test_every_row_of_the_runs_is_a_pair_or_counted(
    runs: tuple[str, ...], collection: dict[str, str], tmp_path: Path
) -> None:
    figures = run(collection, tmp_path / "pairs", *runs, sizes=SMALL)
    rows = [row for name in runs for row in run_rows(int(name[-1]))]
    assert figures["run_rows"] == len(rows) == figures["pairs"] + sum(figures[name] for name in COUNTS)
    assert figures["unknown_query_rows"] == sum(q in (f"q{QUERIES}", f"q{QUERIES + 1}") for q, _, _ in rows)
    assert (figures["unknown_queries"], figures["unused_queries"]) == (2, 3)
    named = {doc for frame in shards(tmp_path / "pairs") for doc in frame["doc_id"]}
    assert (figures["corpus_docs"], figures["repeated_docs"]) == (DOCS + 1, int("d3" in named))
    assert json.loads((tmp_path / "pairs/_prepare.json").read_text())["pairs"] == figures["pairs"]


def test_unknown_ids_are_written_out(collection: dict[str, str], tmp_path: Path) -> None:
    figures = run(collection, tmp_path / "pairs", depth=1000, sizes=SMALL)
    rows = best(run_rows(1))
    for what, key, known in (("queries", "query_id", QUERIES), ("docs", "doc_id", DOCS)):
        files = sorted((tmp_path / "pairs/_unknown").glob(f"{what}-*.tsv"))
        written = pd.concat(pd.read_csv(path, sep="\t") for path in files).set_index(key)["rows"].to_dict()
        if what == "queries":
            counts = pd.Series([row[0] for row in run_rows(1)]).value_counts()  # all rows of the run
        else:
            counts = rows[rows["query_id"].str[1:].astype(int) < QUERIES]["doc_id"].value_counts()
        wanted = {id: count for id, count in counts.items() if int(id[1:]) >= known}
        assert written == wanted and len(wanted) == figures[f"unknown_{what}"] > 0


def test_a_query_none_of_whose_documents_is_known_is_counted(write: Callable[..., str], tmp_path: Path) -> None:
    collection = {
        "run1": write("r.trec", "q1 Q0 d1 1 1 t\nq2 Q0 gone 1 1 t\n"),
        "queries": write("q.tsv", "q1\tone\nq2\ttwo\n"),
        "corpus": write("c.tsv", "d1\ttext\n"),
    }
    figures = run(collection, tmp_path / "pairs", shard_rows=1)
    assert (figures["queries"], figures["pairs"], figures["shards"]) == (1, 1, 1)
    assert (figures["unknown_docs"], figures["queries_without_docs"]) == (1, 1)
    (frame,) = shards(tmp_path / "pairs")
    assert list(frame.columns) == ["query_id", "query", "doc_id", "doc", "score"]  # no title anywhere, no column


@pytest.mark.parametrize(
    "queries, corpus, says",
    [("x\tone\n", "d1\ttext\n", "known query: 1 unknown ids"), ("q1\tone\n", "x\ttext\n", "known document: 1 unknown")],
)
def test_ids_that_do_not_go_together_are_an_error(
    queries: str, corpus: str, says: str, write: Callable[..., str], tmp_path: Path
) -> None:
    collection = {"run1": write("r.trec", "q1 Q0 d1 1 1 t\n"), "queries": write("q.tsv", queries)}
    collection["corpus"] = write("c.tsv", corpus)
    with pytest.raises(UsageError, match=says):
        run(collection, tmp_path / "pairs")
    assert (tmp_path / "pairs/_unfinished").exists()


def test_nothing_is_left_of_the_steps_and_a_second_run_is_the_same(collection: dict[str, str], tmp_path: Path) -> None:
    def files() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (tmp_path / "pairs").rglob("*") if path.is_file()}

    run(collection, tmp_path / "pairs", sizes=SMALL)
    first = files()
    assert not (tmp_path / "pairs/_work").exists() and "_unfinished" not in first
    with pytest.raises(UsageError, match="--overwrite"):
        run(collection, tmp_path / "pairs", sizes=SMALL)
    run(collection, tmp_path / "pairs", overwrite=True, sizes=SMALL)
    second = files()
    assert {name: data for name, data in first.items() if name != "_prepare.json"} == {
        name: data for name, data in second.items() if name != "_prepare.json"
    }


def test_a_run_that_failed_half_way_starts_from_the_beginning(
    collection: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(WriteShard, "__call__", lambda self, shard: 1 / 0)
        run(collection, tmp_path / "pairs", sizes=SMALL)
    assert (tmp_path / "pairs/_unfinished").exists() and (tmp_path / "pairs/_work").exists()
    run(collection, tmp_path / "pairs", sizes=SMALL)
    same(shards(tmp_path / "pairs"), expected(collection, best(run_rows(1))))
    assert not (tmp_path / "pairs/_work").exists()


@pytest.mark.parametrize(
    "corpus_bytes, run_rows, buckets",
    [
        (0, 0, 1),
        (1_500_000, 22_500, 1),
        (100 * 2**30, 4_300, 1),
        (3 * 2**30, 698_000, 24),
        (100 * 2**30, 100_000_000, 800),
        (100 * 2**20, 1_000_000_000, 500),
    ],
    ids=["nothing", "small", "few rows of a large corpus", "MS MARCO", "large", "many rows of a small corpus"],
)
def test_buckets_of_documents(corpus_bytes: int, run_rows: int, buckets: int) -> None:
    assert Sizes().count_doc_buckets(corpus_bytes, run_rows) == buckets


def test_credentials_in_a_url_are_refused(collection: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="--output: credentials come from the environment"):
        prepare(Arguments(["r.trec"], ["q.tsv"], ["c.tsv"], "s3://key:secret@bucket/pairs"), cluster=InProcess())
