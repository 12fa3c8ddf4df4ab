"""Pairs of a config's own input, drawn by a seed: half of them whole queries, half over all lengths."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.check.preflight import Checked
from pipeline.errors import UsageError
from pipeline.estimate.draw import read_unit
from pipeline.estimate.unscored import find_unscored_units
from pipeline.input.columns import TEXTS
from pipeline.rows import OK

LEAST_UNITS, MOST_UNITS = 8, 1000  # that are read, of larger inputs
POOL = 20  # rows among which one is chosen
PER_QUERY = 20  # pairs of a query, at most: more than ten, so that the first ten of a ranking can differ
IDS = ("query_id", "doc_id")
Keep = Callable[[pa.Table], np.ndarray]  # rows -> whether each may be drawn


def draw_pairs(checked: Checked, wanted: int, seed: int, keep: Keep | None = None) -> pa.Table:
    """Up to `wanted` rows that have both texts, whether they have scores or not; their columns are those of
    pipeline/score/read.py. keep: which rows may be drawn; every row without it.

    Units are read in a random order until there are enough rows to choose from. One of those with the same ids
    counts, as input.duplicates says. Raises UsageError where there are fewer than two rows.
    """
    rng = np.random.default_rng(seed)
    pairs = read_pool(checked, wanted, rng, keep)
    return pairs.take(pa.array(choose(pairs, wanted, rng)))


def read_pool(checked: Checked, wanted: int, rng: np.random.Generator, keep: Keep | None = None) -> pa.Table:
    """The rows among which `wanted` are drawn, or more: see draw_pairs."""
    found = find_unscored_units(checked, everything=True)
    units = found.units
    pool, rows = dict[int, pa.Table](), 0
    for number, at in enumerate(rng.permutation(len(units))[:MOST_UNITS].tolist(), 1):
        pairs = read_unit(found.columns, *units[at])
        pairs = pairs.filter(pc.equal(pairs["kind"], OK))
        pool[at] = pairs.filter(pa.array(keep(pairs))) if keep else pairs
        rows += len(pool[at])
        if number >= LEAST_UNITS and rows >= POOL * wanted:
            break
    if rows < 2:
        read = f"the {min(len(units), MOST_UNITS):,} of {len(units):,} units that were read"
        where = f" that {'are' if rows == 0 else 'is'} in --against" if keep else " with both texts"
        raise UsageError(f"input.path: {read} hold {rows or 'no'} pair(s){where}; two at least are needed")
    whole = pa.concat_tables(pool[at] for at in sorted(pool)).combine_chunks()
    return _drop_repeated(whole, checked.config.input.duplicates == "last")


def choose(pairs: pa.Table, wanted: int, rng: np.random.Generator) -> np.ndarray:
    """The numbers of up to `wanted` rows, ascending: queries at random, with up to PER_QUERY pairs of each, until they
    are half of them; and for the rest rows at even steps from the shortest to the longest."""
    if len(pairs) <= wanted:
        return np.arange(len(pairs))
    queries, half = number_values(pairs["query_id"]), wanted // 2
    chosen: list[int] = []
    for query in rng.permutation(np.flatnonzero(np.bincount(queries) > 1)):
        mine = rng.permutation(np.flatnonzero(queries == query))[: min(PER_QUERY, half - len(chosen))]
        if len(mine) < 2:
            break
        chosen += mine.tolist()
    rest = np.setdiff1d(np.arange(len(pairs)), chosen)
    rest = rest[np.argsort(_count_bytes(pairs)[rest], kind="stable")]
    steps = np.linspace(0, len(rest) - 1, wanted - len(chosen)).round().astype(int)
    return np.sort([*chosen, *rest[steps].tolist()])


def _count_bytes(pairs: pa.Table) -> np.ndarray:
    """Bytes of the texts of each row, which go with their tokens."""
    there = [name for name in TEXTS if name in pairs.column_names]
    return np.sum([pc.fill_null(pc.binary_length(pairs[name]), 0).to_numpy() for name in there], axis=0)


def _drop_repeated(pairs: pa.Table, last: bool) -> pa.Table:
    """Without the rows whose ids another one has: the first of them stays, or the last."""
    rows = np.arange(len(pairs))[:: -1 if last else 1]
    ids = np.column_stack([number_values(pairs[name]) for name in IDS])[rows]
    return pairs.take(pa.array(np.sort(rows[np.unique(ids, axis=0, return_index=True)[1]])))


def number_values(column: pa.ChunkedArray) -> np.ndarray:
    """A number for each row, equal where the values are."""
    return column.combine_chunks().dictionary_encode().indices.to_numpy()
