"""Runs over inputs that are drawn: rows, files, types and settings of every kind."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..case import Case, Cases, Place, config, look, rerank
from ..pairs import drawn_input

CASES, LARGEST = 100, 2000
UNITS = 40  # at most: each is a file that is put


def cases(place: Place) -> Cases:
    for name, rows, sections in MANY_PARTS if place.cases is None else ():
        path = many(place.folder / name.replace(" ", "-"), rows)
        given = config(path, run={"max_failed": 0.1, "unit_rows": 60_000}, **sections)
        yield Case(name, [rerank(given, "telling" if "explain" in str(sections) else "known"), look()])
    for number in range(place.cases or CASES):
        yield drawn(place, number)


def drawn(place: Place, number: int) -> Case:
    """One run that scores, and two that rank the same scores again."""
    draw = random.Random(f"runs {place.seed} {number}")
    made = drawn_input(place.below(f"{number:03d}"), draw, LARGEST if draw.random() < 0.3 else 200)
    explain = draw.random() < 0.15
    scorer = "telling" if explain or draw.random() < 0.1 else "known"
    given = config(made["input"].pop("path"), input=made["input"], run=run(draw))
    if draw.random() < 0.3:  # not a cross_encoder: the new tree refuses MiniLM as one
        given["reranker"] |= {"query_template": "query: {query}", "doc_template": "passage: {doc}"}
    if draw.random() < 0.3:
        given["reranker"] |= {"max_doc_tokens": draw.choice([3, 16, 64])}
    if draw.random() < 0.05:
        given["workers"] = {"count": draw.choice([2, [1, 2]])}
    steps = []
    for failed in (1, draw.choice([0, 0.01, 0.1, 0.5]), 1):  # the first scores all: where it ends early is luck
        changed = {"fusion": fusion(draw), "output": given["output"] | output(draw, made["columns"], explain)}
        changed["run"] = given["run"] | {"max_failed": failed}
        steps += [rerank(given | changed, scorer), look()]
    return Case(f"{number:03d}", steps)


def output(draw: random.Random, columns: list[str], explain: bool) -> dict[str, Any]:
    values: dict[str, Any] = {"explain": True} if explain else {}
    if draw.random() < 0.6:
        values["columns"] = [name for name in columns if draw.random() < 0.5]
    if draw.random() < 0.4:
        values["top_k"] = draw.choice([1, 2, 3, 10, 1000])
    return values


def fusion(draw: random.Random) -> dict[str, Any]:
    values: dict[str, Any] = {"method": draw.choice(["none", "zscore", "minmax", "rrf"])}
    if draw.random() < 0.6:
        values["alpha"] = draw.choice([0, 0.1, 0.2, 0.5, 1 / 3, 1, 1.0])
    if draw.random() < 0.3:
        values["k"] = draw.choice([1, 10, 60])
    return values


def run(draw: random.Random) -> dict[str, Any]:
    return {"unit_rows": draw.choice([LARGEST // UNITS, 100, 256, 1000])} if draw.random() < 0.7 else {}


# Enough rows for several parts of the result, by the rows that a part may have: with and without carried columns.
MANY_PARTS: list[tuple[str, int, dict[str, Any]]] = [
    ("explained parts", 120_000, {"output": {"explain": True}}),
    ("carried parts", 250_000, {"output": {"columns": ["doc", "tag"], "top_k": 3}}),
    ("many carried parts", 420_000, {"output": {"columns": ["tag"]}, "fusion": {"method": "minmax"}}),
]


def many(folder: Path, rows: int) -> str:
    """So many small rows, in three files."""
    folder.mkdir()
    numbers = np.arange(rows)
    table = pa.table(
        {
            "query_id": numbers * numbers % (rows // 50),
            "query": np.char.add("query ", (numbers * numbers % (rows // 50) % 97).astype(str)),
            "doc_id": numbers % (rows - 5),  # a few pairs are there twice
            "doc": np.where(numbers % 997 == 5, "", np.char.add("document ", (numbers % 89).astype(str))),
            "score": (numbers % 1000).astype(np.float64),
            "tag": pa.array(np.char.add("t", (numbers % 7).astype(str))).dictionary_encode(),
        }
    )
    for i in range(3):
        part = table.slice(i * (rows // 3 + 1), rows // 3 + 1)
        pq.write_table(part, folder / f"{i}.parquet", row_group_size=50_000)
    return str(folder)
