"""Inputs drawn by a seed: rows of every kind, in files of every kind."""

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .columns import EXTRAS, MIXING_IDS, ODD_TEXTS, OTHER_IDS, SCORES, TEXTS, extra, ids, scores, sentence, texts

ODD_SCORES = [None, float("nan"), float("inf"), float("-inf"), 1e308, -1e308, -0.0]
NAMES = ["a b", "a#b", "a%20b", "a?b", "a[1]", "{x}", "äöü 日本", "-rf", "dt=2026-01-01/part-0", "x.parquet/part-1"]


class Rows:
    """Rows of one input, as numbers and texts, before they have types. odd: the share of unusual values."""

    def __init__(self, draw: random.Random, count: int):
        self._draw, self.count = draw, count
        self._odd = draw.choice([0, 0, 0.002, 0.02, 0.2])
        queries = max(1, count // draw.choice([1, 3, 10, 40, 400]))
        self._query_of = [draw.randrange(queries) for _ in range(count)]
        if draw.random() < 0.5:
            self._query_of.sort()
        self._doc_of = [draw.randrange(2 * count) if draw.random() < 0.3 else i for i in range(count)]
        self._queries = [sentence(draw, 6) for _ in range(queries)]
        self._steps = draw.choice([3, 20, 10**6])  # few distinct scores are many ties

    def ids(self, kind: str, query: bool) -> pa.Array:
        numbers: list[int | None] = [*(self._query_of if query else self._doc_of)]
        return ids(kind, [None if self._draw.random() < self._odd / 4 else number for number in numbers])

    def queries(self, kind: str) -> pa.Array:
        return texts(kind, [self._or_odd(self._queries[number]) for number in self._query_of])

    def docs(self, kind: str, longest: int = 12) -> pa.Array:
        return texts(kind, [self._or_odd(sentence(self._draw, longest)) for _ in range(self.count)])

    def scores(self, kind: str) -> pa.Array:
        values: list[float | None] = [self._draw.randrange(-self._steps, self._steps) / 8 for _ in range(self.count)]
        if self._draw.random() < 0.05:
            values = [1.0] * self.count
        return scores(kind, [self._draw.choice(ODD_SCORES) if self._is_odd() else value for value in values])

    def _is_odd(self) -> bool:
        return self._draw.random() < self._odd / 2

    def _or_odd(self, text: str) -> str | None:
        return self._draw.choice(ODD_TEXTS) if self._is_odd() else text


def drawn_input(folder: Path, draw: random.Random, largest: int) -> dict[str, Any]:
    """Writes an input below `folder`. Gives the section `input` of a config, and `columns`: those to be carried."""
    rows = Rows(draw, round(2 ** draw.uniform(0, largest.bit_length())) % largest + 1)
    mapped = draw.random() < 0.3
    names = {name: (f"my {name}" if mapped else name) for name in ("query_id", "query", "doc_id", "doc", "score")}
    kinds = MIXING_IDS if draw.random() < 0.7 else [draw.choice(OTHER_IDS)]
    columns: dict[str, pa.Array] = {names["query"]: rows.queries(draw.choice(TEXTS))}
    columns[names["doc"]] = rows.docs(draw.choice(TEXTS), draw.choice([4, 12, 120]))
    columns[names["score"]] = rows.scores(draw.choice(SCORES))
    for name, share in (("query_id", 0.85), ("doc_id", 0.85)):
        if draw.random() < share:
            columns[names[name]] = rows.ids(draw.choice(kinds), name == "query_id")
    columns |= {kind: extra(kind, rows.count, draw) for kind in EXTRAS if draw.random() < 0.3}
    columns |= {"rank": extra("numbers", rows.count, draw), "Doc": extra("words", rows.count, draw)}
    sections: dict[str, Any] = {"columns": {name: names[name] for name in names if mapped and names[name] in columns}}
    if draw.random() < 0.3:
        columns["head line"] = rows.docs(draw.choice(TEXTS), 3)
        sections["columns"]["title"] = "head line"
    order = draw.sample([*columns], len(columns))
    sections["path"] = write(pa.table({name: columns[name] for name in order}), folder, draw)
    return {"input": sections, "columns": ["query", "doc", *(kind for kind in EXTRAS if kind in columns)]}


def write(table: pa.Table, folder: Path, draw: random.Random) -> str | list[str]:
    """The rows in one file or several, and what `input.path` may be to find them."""
    files = draw.choice([1, 1, 2, 3, 7, min(40, len(table))])
    cuts = sorted(draw.randint(0, len(table)) for _ in range(files - 1))
    paths = []
    for number, (start, stop) in enumerate(zip([0, *cuts], [*cuts, len(table)], strict=True)):
        path = folder / f"{number:03d} {draw.choice(NAMES) if draw.random() < 0.3 else 'plain'}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        options: dict[str, Any] = {"compression": draw.choice(["zstd", "snappy", "none", "gzip", "lz4", "brotli"])}
        options["row_group_size"] = draw.choice([1 if stop - start < 60 else 7, 13, 100, 10**6])
        options["data_page_version"] = draw.choice(["1.0", "2.0"])
        options["use_dictionary"] = draw.random() < 0.7
        pq.write_table(table.slice(start, stop - start), path, **options)
        paths.append(str(path))
    (folder / "_SUCCESS").write_bytes(b"")
    (folder / "notes.csv").write_text("query,doc\n")
    return draw.choice([str(folder), f"{folder}/", f"{folder}/[0-9]*", paths, paths[::-1] if files > 1 else paths[0]])
