"""Rows drawn at random over all files and row groups: units first, then rows of each.

The cost does not depend on the size of the input: a fixed number of units is read, each from the start of its row
group, and a fixed number of their rows is kept.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.estimate.sizes import Sizes
from pipeline.estimate.unscored import UnscoredUnits
from pipeline.input.columns import TEXTS
from pipeline.input.parquet import count_decoded_bytes, list_chunk_ranges, plan_ranges, read_footer
from pipeline.input.shown import list_stored_columns
from pipeline.plan.splits import Split, find_row_groups, list_ends
from pipeline.plan.units import Unit
from pipeline.rows import KNOWN, OK, REJECT
from pipeline.score.prompt import AddKnown
from pipeline.score.read import read_units

IDS = ("query_id", "doc_id")
READY = pa.array([OK, KNOWN])
SIDES = {"query": ("query", "instruction"), "doc": ("doc", "title")}  # the columns that make each side of a prompt


@dataclass(frozen=True)
class DrawnUnit:
    """The drawn rows of a unit, and counts of all its rows.

    total, ok: its rows, and those that get as far as a prompt. known: those that have a score by their texts. unusable:
    the reasons of the others, with their numbers.
    rows: the drawn ones among the `ok` ones, with texts. same: sides of the pair -> for each drawn row, how many `ok`
    rows of the unit have the same texts there (the engine is asked for equal prompts of a unit once).
    per_query: rows of each query in it. tied: whether the first stage gave all rows of each of its queries one score.
    repeated: of the `ok` rows, those whose query_id and doc_id came before, with other texts or another score.
    """

    total: int
    ok: int
    known: int
    unusable: dict[str, int]
    rows: pa.Table
    same: dict[tuple[str, ...], np.ndarray]
    per_query: np.ndarray
    tied: bool
    repeated: int


def draw_units(
    unscored: UnscoredUnits,
    sizes: Sizes = Sizes(),
    queries: bool = False,
    known: AddKnown | None = None,
) -> Iterator[DrawnUnit]:
    """The units that were drawn, one after the other. queries: their rows are those of queries that are drawn. known:
    see score_units of pipeline/score/stream.py.

    All of them where they are at most `sizes.units`; else that many, each with a chance in proportion to its rows, with
    replacement, so that the mean of their means is that of the rows (Cochran, Sampling Techniques, 9A.1).
    """
    rng = np.random.default_rng(0)
    rows = unscored.unit_rows()
    if len(rows) <= sizes.units:
        picked, wanted = np.arange(len(rows)), np.ceil(sizes.rows * rows / max(1, rows.sum())).astype(int)
    else:
        picked, wanted = (
            np.sort(rng.choice(len(rows), sizes.units, p=rows / rows.sum())),
            np.full(sizes.units, sizes.rows // sizes.units),
        )
    units = unscored.units
    units = [units[i] for i in picked]
    seeds = rng.integers(2**32, size=len(units)).tolist()
    with ThreadPoolExecutor(sizes.readers) as pool:
        yield from pool.map(partial(_draw_rows, unscored.columns, queries, known), units, wanted.tolist(), seeds)


def read_unit(columns: dict[str, str], split: Split, unit: Unit) -> pa.Table:
    """The rows of one unit alone; the columns are those of pipeline/score/read.py."""
    ((_, pairs),) = read_units(_make_split(split, unit, columns), columns)
    return pairs


def _draw_rows(
    columns: dict[str, str], whole: bool, known: AddKnown | None, unit: tuple[Split, Unit], wanted: int, seed: int
) -> DrawnUnit:
    pairs = read_unit(columns, *unit)
    pairs = known(pairs) if known else pairs
    ok = pairs.filter(pc.equal(pairs["kind"], OK))
    rng = np.random.default_rng(seed)
    drawn = _draw_queries(ok, wanted, rng) if whole else rng.choice(len(ok), min(wanted, len(ok)), replace=False)
    drawn = np.sort(drawn)
    groups: dict[tuple[str, ...], np.ndarray] = {(side,): _number_rows(ok, names) for side, names in SIDES.items()}
    groups["query", "doc"] = _number_rows(ok, [name for names in SIDES.values() for name in names])
    queries = _number_rows(pairs, ["query_id"])
    per_query = np.bincount(queries)
    return DrawnUnit(
        total=len(pairs),
        ok=len(ok),
        known=pairs["kind"].to_pylist().count(KNOWN),
        unusable=dict(Counter(pairs.filter(pc.invert(pc.is_in(pairs["kind"], READY)))["reason"].to_pylist())),
        rows=ok.take(pa.array(drawn)),
        same={side: np.bincount(numbers)[numbers][drawn] for side, numbers in groups.items()},
        per_query=per_query,
        tied=len(np.unique(_number_rows(pairs, ["query_id", "first_stage_score"]))) == len(per_query),
        repeated=_count_repeated(pairs.filter(pc.not_equal(pairs["kind"], REJECT))),
    )


def _draw_queries(ok: pa.Table, wanted: int, rng: np.random.Generator) -> np.ndarray:
    """The rows of as many queries, one at least, as have `wanted` rows together."""
    numbers = _number_rows(ok, ["query_id"])
    if not len(numbers):
        return numbers
    order = rng.permutation(np.unique(numbers))
    sizes = np.cumsum(np.bincount(numbers)[order])
    return np.flatnonzero(np.isin(numbers, order[: 1 + int(np.searchsorted(sizes, wanted))]))


def _count_repeated(pairs: pa.Table) -> int:
    """How many `ok` rows have the ids of a row before them, and are not equal to the first such row. Rejects are not
    there when the result looks for them."""
    ids, whole = (_number_rows(pairs, names) for names in (IDS, [*IDS, *TEXTS, "first_stage_score"]))
    _, first, number = np.unique(ids, return_index=True, return_inverse=True)
    ok = pc.equal(pairs["kind"], OK).to_numpy(zero_copy_only=False)
    return int((ok & (whole != whole[first[number]])).sum())


def _make_split(split: Split, unit: Unit, columns: dict[str, str]) -> Split:
    """A split of the row groups that the unit lies in, and no others."""
    footer, begin = read_footer(split.path, split.size, split.version)
    groups, first_row = find_row_groups(list_ends(footer), unit.first, unit.stop)
    used = {*list_stored_columns(split.path, split.shown, footer, [*columns.values()])}
    return replace(
        split,
        first_row=first_row,
        row_groups=groups,
        ranges=plan_ranges(
            list_chunk_ranges(footer, groups, [*used]),
            (begin, split.size),
            count_decoded_bytes(footer, groups, used),
        ),
        units=[unit],
    )


def _number_rows(table: pa.Table, columns: Iterable[str]) -> np.ndarray:
    """A number for each row, equal where all of the columns are. Columns that the table lacks do not count."""
    numbers = np.zeros(len(table), dtype=np.int64)
    for name in columns:
        if name in table.column_names:
            indices = table[name].combine_chunks().dictionary_encode(null_encoding="encode").indices.to_numpy()
            numbers = np.unique(numbers * (len(table) + 1) + indices, return_inverse=True)[1]
    return numbers
