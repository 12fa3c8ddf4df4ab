"""Results as a run commits them, made of a few rows: for tests of their readers."""

import random
import zlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config import parse
from pipeline.output.commit import commit, list_unnamed_parts, withdraw_result
from pipeline.storage.folder import Folder
from tests.formulas import ranked_in_plain_python

Row = dict[str, Any]
Scores = dict[str, dict[str, tuple[float, float | None]]]  # query_id -> doc_id -> first-stage and reranker score
SCHEMA = pa.schema(
    [
        ("query_id", pa.string()),
        ("doc_id", pa.string()),
        ("rank", pa.int32()),
        *((name, pa.float64()) for name in ("score", "first_stage_score", "rerank_score")),
        ("reason", pa.string()),
    ]
)
SCORED = {
    "scored_now": 100,
    "pairs_per_second": 50.0,
    "prompt_tokens": 4000,
    "cached_tokens": 1000,
    "new_tokens": 1000,
    "seconds": {"plan": 0.5, "start": 2.0, "score": 18.0, "fuse": 0.1},
}


def ranked(
    scores: dict[str, dict[str, tuple[float, float | None]]], method: str = "zscore", alpha: float = 0.2
) -> list:
    """Ranked rows, by loops in plain Python."""
    rows = [
        {
            "query_id": query,
            "doc_id": doc,
            "first_stage_score": first,
            "rerank_score": rerank,
            "kind": "ok" if rerank is not None else "permanent",
            "reason": None if rerank is not None else "document is empty",
            "file": 0,
            "row": 0,
        }
        for query, docs in scores.items()
        for doc, (first, rerank) in docs.items()
    ]
    return ranked_in_plain_python(rows, method, alpha, 60)[0]


def some_scores(queries: int, docs: int, seed: int = 0) -> Scores:
    """Scores with many ties in both stages, and a few pairs without a reranker score."""
    draw = random.Random(seed)
    return {
        f"q{query}": {
            f"d{doc}": (float(draw.randrange(docs)), None if draw.random() < 0.05 else draw.randrange(8) / 4)
            for doc in range(docs)
        }
        for query in range(queries)
    }


def some_qrels(queries: int, docs: int, seed: int = 1) -> dict[str, dict[str, int]]:
    """About half of the documents judged, with grades from 0 to 2."""
    draw = random.Random(seed)
    return {
        f"q{query}": {f"d{doc}": draw.choice([0, 0, 1, 2]) for doc in range(docs) if draw.random() < 0.5}
        for query in range(queries)
    }


def write_result(
    folder: Path | str,
    rows: list[Row],
    *,
    figures: dict[str, Any] = SCORED,
    texts: dict[str, pa.DataType] = {},
    parts: int = 2,
    tag: str = "0123456789ab",
    **sections: dict,
) -> str:
    """Commits rows as a result and gives its path. texts: the columns that were carried; other keyword arguments are
    sections of the config."""
    values: dict[str, Any] = {
        "input": {"path": "pairs.parquet"},
        "reranker": {"type": "bi_encoder", "model": "authors/small-model"},
        "output": {"path": str(folder), "columns": list(texts)},
    }
    for name, section in sections.items():
        values[name] = values.get(name, {}) | section
    schema = pa.schema([*SCHEMA, *texts.items()])
    output = Folder(str(folder))
    withdraw_result(output)
    queries = sorted({row["query_id"] for row in rows})
    names = []
    for part in range(parts):
        mine = [row for row in rows if zlib.crc32(row["query_id"].encode()) % parts == part]
        names.append(f"ranked/part-{part:05d}-{tag}.parquet")
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(mine, schema), sink)
        output.put(names[-1], sink.getvalue().to_pybytes())
    unscored = sum(row["rerank_score"] is None for row in rows)
    counts = {"rows": len(rows), "queries": len(queries), "ranked": len(rows), "unscored": unscored}
    manifest = {
        "tag": tag,
        "written": "2026-11-21T12:00:00+00:00",
        "figures": counts | {"rejected": 0, "truncated": 3} | figures,
        "parts": names,
        "rejects": [],
        "model": {"name": values["reranker"]["model"], "revision": None},
        "fingerprint": "f" * 16,
        "config": parse(values).model_dump(mode="json"),
    }
    commit(output, manifest)
    output.delete(list_unnamed_parts(output, manifest))
    return str(folder)
