"""Rows drawn at random over all files and row groups: units first, then rows of each.

The cost does not depend on the size of the input: a fixed number of units is read, each from the start of its row
group, and a fixed number of their rows is kept.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.estimate.sizes import Sizes
from pipeline.estimate.unscored import UnscoredUnits
from pipeline.input.footers import read_file_footer
from pipeline.input.listing import InputFile
from pipeline.input.parquet import count_decoded_bytes, list_chunk_ranges, plan_ranges
from pipeline.plan.plan import Split, Unit
from pipeline.rows import OK, REJECT
from pipeline.score.read import read_units

SIDES = {"query": ("query", "instruction"), "doc": ("doc", "title")}  # the columns that make each side of a prompt


@dataclass(frozen=True)
class DrawnUnit:
    """The drawn rows of a unit, and counts of all its rows.

    total, ok: its rows, and those that get as far as a prompt. unusable: the reasons of the others, with their numbers.
    rows: the drawn ones among the `ok` ones, with texts. same: sides of the pair -> for each drawn row, how many `ok`
    rows of the unit have the same texts there (the engine is asked for equal prompts of a unit once).
    per_query: rows of each query in it. tied: whether the first stage gave all rows of each of its queries one score.
    repeated: of the `ok` rows, those whose query_id and doc_id came before.
    """

    total: int
    ok: int
    unusable: dict[str, int]
    rows: pa.Table
    same: dict[tuple[str, ...], np.ndarray]
    per_query: np.ndarray
    tied: bool
    repeated: int


def draw_units(unscored: UnscoredUnits, sizes: Sizes = Sizes(), seed: int = 0) -> Iterator[DrawnUnit]:
    """The units that were drawn, one after the other.

    All of them where they are at most `sizes.units`; else that many, each with a chance in proportion to its rows, with
    replacement, so that the mean of their means is that of the rows (Cochran, Sampling Techniques, 9A.1).
    """
    rng = np.random.default_rng(seed)
    rows = unscored.unit_rows()
    if len(rows) <= sizes.units:
        picked, wanted = np.arange(len(rows)), np.ceil(sizes.rows * rows / max(1, rows.sum())).astype(int)
    else:
        picked, wanted = (
            np.sort(rng.choice(len(rows), sizes.units, p=rows / rows.sum())),
            np.full(sizes.units, sizes.rows // sizes.units),
        )
    units = unscored.table().take(pa.array(picked)).to_pylist()
    seeds = rng.integers(2**32, size=len(units)).tolist()
    with ThreadPoolExecutor(sizes.readers) as pool:
        yield from pool.map(partial(_draw_rows, unscored.plan.columns), units, wanted.tolist(), seeds)


def _draw_rows(columns: dict[str, str], unit: dict[str, Any], wanted: int, seed: int) -> DrawnUnit:
    pairs = next(
        pairs for found, pairs in read_units(_make_split(unit, columns), columns) if found.name == unit["unit"]
    )
    ok = pairs.filter(pc.equal(pairs["kind"], OK))
    rng = np.random.default_rng(seed)
    drawn = np.sort(rng.choice(len(ok), min(wanted, len(ok)), replace=False))
    groups: dict[tuple[str, ...], np.ndarray] = {(side,): _number_rows(ok, names) for side, names in SIDES.items()}
    groups["query", "doc"] = _number_rows(ok, [name for names in SIDES.values() for name in names])
    queries = _number_rows(pairs, ["query_id"])
    per_query = np.bincount(queries)
    return DrawnUnit(
        total=len(pairs),
        ok=len(ok),
        unusable=dict(Counter(pairs.filter(pc.not_equal(pairs["kind"], OK))["reason"].to_pylist())),
        rows=ok.take(pa.array(drawn)),
        same={side: np.bincount(numbers)[numbers][drawn] for side, numbers in groups.items()},
        per_query=per_query,
        tied=len(np.unique(_number_rows(pairs, ["query_id", "first_stage_score"]))) == len(per_query),
        repeated=_count_repeated(pairs.filter(pc.not_equal(pairs["kind"], REJECT))),
    )


def _count_repeated(pairs: pa.Table) -> int:
    """How many `ok` rows have the ids of a row before them. Rejects are not there when the result looks for them."""
    first = np.unique(_number_rows(pairs, ["query_id", "doc_id"]), return_index=True)[1]
    again = np.ones(len(pairs), dtype=bool)
    again[first] = False
    return int((again & pc.equal(pairs["kind"], OK).to_numpy(zero_copy_only=False)).sum())


def _make_split(unit: dict[str, Any], columns: dict[str, str]) -> Split:
    """A split of the row groups that the unit lies in, and no others: the rows before it, and the unit."""
    footer, begin = read_file_footer(InputFile(unit["path"], unit["size"], unit["version"]))
    ends = np.cumsum([footer.row_group(group).num_rows for group in range(footer.num_row_groups)])
    first, last = (int(np.searchsorted(ends, row, side="right")) for row in (unit["start"], unit["stop"] - 1))
    groups, first_row = range(first, last + 1), int(ends[first - 1]) if first else 0
    used = set(columns.values())
    start, step = unit["start"], max(1, unit["stop"] - unit["start"])
    before = [Unit("", row, min(row + step, start)) for row in range(first_row, start, step)]
    return Split(
        file=unit["file"],
        path=unit["path"],
        size=unit["size"],
        first_row=first_row,
        row_groups=groups,
        ranges=plan_ranges(
            list_chunk_ranges(footer, groups, list(used)),
            (begin, unit["size"]),
            count_decoded_bytes(footer, groups, used),
        ),
        units=[*before, Unit(unit["unit"], start, unit["stop"])],
    )


def _number_rows(table: pa.Table, columns: Iterable[str]) -> np.ndarray:
    """A number for each row, equal where all of the columns are. Columns that the table lacks do not count."""
    numbers = np.zeros(len(table), dtype=np.int64)
    for name in columns:
        if name in table.column_names:
            indices = table[name].combine_chunks().dictionary_encode(null_encoding="encode").indices.to_numpy()
            numbers = np.unique(numbers * (len(table) + 1) + indices, return_inverse=True)[1]
    return numbers
