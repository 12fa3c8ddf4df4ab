"""Builds and tokenises the prompts of a unit, in the CPU pool, so that the actor with the engine gets token ids.

The candidates of a reranker that sees whole queries travel as texts: a window's prompt depends on the answers to those
before it.

A unit travels to that actor as one row of two columns, its name and its bytes. So a unit stays whole, however Ray Data
cuts, merges or repeats blocks. Its input file travels in the metadata of the bytes.
"""

import gc
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actors.rerankers import RERANKERS, Settings
from actors.rerankers.contract import Prompt, Unscored
from actors.rerankers.passages import make_prompts
from actors.rerankers.tokenizer import Tokenizer
from pipeline.config import Config
from pipeline.input.listing import InputFile
from pipeline.input.pairs import hash_queries, hash_texts, make_pairs
from pipeline.plan.queries import sees_queries
from pipeline.plan.units import parse_unit
from pipeline.rows import OK, PERMANENT
from pipeline.score.candidates import find_given, hash_candidates, read_candidates, shorten_texts

TRAVELS = ("row", "texts", "query_text", "query_id", "doc_id", "first_stage_score", "kind", "reason", "truncated")
KNOWN_COLUMNS = ("rerank_score", "explanation")  # further ones, of rows that an earlier run scored
AddKnown = Callable[[pa.Table], pa.Table]  # adds these to the pairs of a unit (pipeline/rank/known.py)


class PromptedUnit(NamedTuple):
    """A unit without its texts.

    name: of the unit (pipeline/plan/units.py). file: of the input, as it was listed; None with its rows.
    rows: the columns of TRAVELS (truncated: the prompt lost a part of its text), and of KNOWN_COLUMNS where some rows
    may have the kind `known`; None for a unit whose scores were put before.
    prompts: a Prompt for each passage of each row whose kind is `ok`, in the order of the rows, with their sequences as
    arrays; or the candidates of each query, as lists of Pair. passages: how many each of these rows has.
    """

    name: str
    file: InputFile | None
    rows: pa.Table | None
    prompts: list[Any]
    passages: list[int]

    @property
    def again(self) -> bool:
        """Whether its rows are tried once more, as those are that killed their worker in an earlier run."""
        return parse_unit(self.name).retry > 0


def prompt_unit(name: str, file: InputFile, unit: pa.Table, tokenizer: Tokenizer, settings: Settings) -> pa.Table:
    """A unit's rows with their prompts, or with their texts, as the one row that travels. Columns: unit, payload."""
    if RERANKERS[settings.type].whole_query:
        return pack_unit(name, _shorten_rows(unit, tokenizer, settings), file)
    with _pause_garbage_collection():
        return pack_unit(name, _prompt_rows(unit, tokenizer, settings), file)


def _shorten_rows(unit: pa.Table, tokenizer: Tokenizer, settings: Settings) -> pa.Table:
    ready = pc.equal(unit["kind"], OK)
    at = pa.array(np.flatnonzero(ready.to_numpy(zero_copy_only=False)))
    texts, cut = shorten_texts(unit.take(at), tokenizer, settings)
    truncated = _read_truncated(unit)
    for i, found in zip(at.to_pylist(), cut, strict=True):
        truncated[i] = found
    rows = _select_travelling(unit, unit["kind"].to_pylist(), unit["reason"].to_pylist(), truncated)
    place = pc.index_in(pa.array(np.arange(len(unit))), at)  # null for rows that are no candidates
    for name in texts.column_names:
        rows = rows.append_column(name, texts[name].combine_chunks().take(place))
    return rows


def _prompt_rows(unit: pa.Table, tokenizer: Tokenizer, settings: Settings) -> pa.Table:
    ready = np.array(unit["kind"].to_pylist()) == OK
    texts = unit.filter(pa.array(ready))
    prompts = make_prompts(RERANKERS[settings.type], tokenizer, settings, make_pairs(texts, settings))
    sequences: list[list[list[int]] | None] = [None] * len(unit)
    boundaries: list[list[int | None] | None] = [None] * len(unit)
    kinds, reasons = unit["kind"].to_pylist(), unit["reason"].to_pylist()
    truncated = _read_truncated(unit)
    for i, prompt in zip(np.flatnonzero(ready).tolist(), prompts, strict=True):
        if isinstance(prompt, Unscored):
            kinds[i], reasons[i] = PERMANENT, prompt.reason
        else:
            sequences[i] = [tokens for passage in prompt for tokens in passage.sequences]
            truncated[i] = any(passage.truncated for passage in prompt)
            boundaries[i] = [passage.boundary for passage in prompt]
    rows = _select_travelling(unit, kinds, reasons, truncated)
    rows = rows.append_column("prompts", pa.array(sequences, pa.list_(pa.list_(pa.int32()))))
    return rows.append_column("boundaries", pa.array(boundaries, pa.list_(pa.int32())))


def _read_truncated(unit: pa.Table) -> list[bool]:
    return unit["truncated"].to_pylist() if "truncated" in unit.column_names else [False] * len(unit)


def _select_travelling(unit: pa.Table, kinds: list[str], reasons: list[str | None], truncated: list[bool]) -> pa.Table:
    """The columns that every row that travels has, with these values in some."""
    hashed = add_hashes(unit)
    rows = hashed.select(TRAVELS[:6]).append_column("kind", pa.array(kinds, pa.string()))
    rows = rows.append_column("reason", pa.array(reasons, pa.string()))
    rows = rows.append_column("truncated", pa.array(truncated, pa.bool_()))
    for name in KNOWN_COLUMNS:
        rows = rows.append_column(name, hashed[name]) if name in hashed.column_names else rows
    return rows


def add_hashes(unit: pa.Table, config: Config | None = None) -> pa.Table:
    """The rows with the hashes of their texts, and of their queries' texts, if they do not have them yet. config: of
    the run; its reranker may see whole queries, and then the first are those of candidates."""
    if "texts" in unit.column_names:
        return unit
    whole = config if config and sees_queries(config) else None
    texts = hash_candidates(unit, find_given(whole)) if whole else hash_texts(unit)
    return unit.append_column("texts", texts).append_column("query_text", hash_queries(unit))


@contextmanager
def _pause_garbage_collection() -> Iterator[None]:
    """Keeps Python from searching the token ids for reference cycles. There are none, and the search takes a third of
    the time of short prompts."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def pack_unit(name: str, rows: pa.Table | None = None, file: InputFile | None = None) -> pa.Table:
    """A unit as the row that travels. rows: None where its scores were put before."""
    payload: pa.Array = pa.nulls(1, pa.large_binary())
    if rows is not None and file is not None:
        rows = rows.replace_schema_metadata({"file": json.dumps([file.path, file.size, file.version])})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema) as writer:
            writer.write_table(rows)
        data = sink.getvalue()
        bounds = pa.py_buffer(np.array([0, len(data)], dtype=np.int64))
        payload = pa.Array.from_buffers(pa.large_binary(), 1, [None, bounds, data])
    return pa.table({"unit": [name], "payload": payload})


def unpack_unit(row: pa.Table) -> PromptedUnit:
    """The unit of a row that has travelled."""
    name, payload = row["unit"][0].as_py(), row["payload"][0]
    if not payload.is_valid:
        return PromptedUnit(name, None, None, [], [])
    rows = pa.ipc.open_stream(payload.as_buffer()).read_all()
    file = InputFile(*json.loads(rows.schema.metadata[b"file"]))
    travels = [*TRAVELS, *(name for name in KNOWN_COLUMNS if name in rows.column_names)]
    travelled = rows.select(travels).replace_schema_metadata(None)
    if "prompts" not in rows.column_names:
        return PromptedUnit(name, file, travelled, read_candidates(rows), [])
    prompts = rows["prompts"].combine_chunks()
    # Lists where single numbers are read: an array makes an object for each number that is read, which is slow.
    outer, bounds = prompts.offsets.to_numpy().tolist(), prompts.values.offsets.to_numpy().tolist()
    tokens = prompts.values.values.to_numpy()
    sequences = [tokens[start:stop] for start, stop in pairwise(bounds)]
    ready = np.flatnonzero(prompts.is_valid().to_numpy(zero_copy_only=False)).tolist()
    truncated, boundaries = rows["truncated"].to_pylist(), [found for found in rows["boundaries"].to_pylist() if found]
    made = []
    for i, found in zip(ready, boundaries, strict=True):
        each = (outer[i + 1] - outer[i]) // len(found)  # sequences of a passage
        for at, boundary in enumerate(found):
            start = outer[i] + at * each
            made.append(Prompt(sequences[start : start + each], truncated[i], boundary))
    return PromptedUnit(name, file, travelled, made, list(map(len, boundaries)))
