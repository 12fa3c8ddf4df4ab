"""Units of whole queries: their candidates in order, their hashes, and what travels to the actor.

The prompt of a window depends on the answers to those before it. So the texts travel, cut to what a window shows of
them, and the actor makes the prompts.
"""

import hashlib
from itertools import groupby
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from actors.rerankers import RERANKERS, Settings
from actors.rerankers.contract import Pair
from actors.rerankers.tokenizer import Tokenizer
from pipeline.config import Config
from pipeline.config.stages import GIVEN
from pipeline.input.pairs import hash_texts, make_pairs
from pipeline.rows import OK

TEXTS = ["query", "doc", "instruction"]  # that travel with a candidate


class Given(NamedTuple):
    """The ranking that candidates were given: by their first-stage scores, and where these are equal by doc_id, or by
    rows, for the rows of a stage's result are in the order of their ranks."""

    lower_is_better: bool = False
    ties: Literal["doc_id", "row"] = "doc_id"


def find_given(config: Config) -> Given:
    """That of the candidates of a run, or of a stage of one."""
    return Given(config.input.lower_is_better, "row" if config.input.columns.get("score") == GIVEN else "doc_id")


def order_candidates(unit: pa.Table, given: Given = Given()) -> pa.Table:
    """The rows with the candidates of each query together, best first. Queries are in the order of their first rows."""
    queries = unit["query_id"].combine_chunks().dictionary_encode(null_encoding="encode").indices
    keys = pa.table({"query": queries, "score": unit["first_stage_score"], "ties": unit[given.ties]})
    down = "ascending" if given.lower_is_better else "descending"
    return unit.take(pc.sort_indices(keys, [("query", "ascending"), ("score", down), ("ties", "ascending")]))


def split_queries(rows: pa.Table) -> list[list[int]]:
    """The numbers of the rows of each query, whose rows stand together."""
    ids = rows["query_id"].to_pylist()
    return [[*members] for _, members in groupby(range(len(ids)), lambda i: ids[i])]


def hash_candidates(unit: pa.Table, given: Given = Given()) -> pa.Array:
    """A 128-bit hash of each row's texts among its query's: another candidate, or another order, makes others of all.

    It is one of the row's place in its query, for the scores of two documents with the same text may differ; but rows
    that are equal have equal hashes. Rows that are no candidates, for they have no text or no score, have the hash of
    their own texts.
    """
    rows = order_candidates(unit.append_column("at", pa.array(np.arange(len(unit)))), given)
    own, kinds = hash_texts(rows).to_pylist(), rows["kind"].to_pylist()
    at, docs = rows["at"].to_pylist(), rows["doc_id"].to_pylist()
    hashes: list[bytes] = [b""] * len(rows)
    for members in split_queries(rows):
        for i in members:
            hashes[at[i]] = own[i]
        ready = [i for i in members if kinds[i] == OK]
        candidates = b"".join(own[i] for i in ready)
        places = dict[tuple[str, bytes], int]()
        for number, i in enumerate(ready):
            place = places.setdefault((docs[i], own[i]), number)
            hashes[at[i]] = hashlib.blake2b(b"%d:" % place + candidates, digest_size=16).digest()
    return pa.array(hashes, pa.binary(16))


def shorten_texts(texts: pa.Table, tokenizer: Tokenizer, settings: Settings) -> tuple[pa.Table, list[bool]]:
    """The texts that travel of some rows, as windows show them: query, doc, instruction; and whether each was cut."""
    whole = RERANKERS[settings.type].whole_query
    assert whole
    short = whole.shorten(tokenizer, settings, make_pairs(texts, settings))
    rows = [(pair.query, pair.doc, pair.instruction) for pair in short]
    columns = zip(*rows, strict=True) if rows else [(), (), ()]
    return pa.table([pa.array(column, pa.large_string()) for column in columns], TEXTS), [p.truncated for p in short]


def read_candidates(rows: pa.Table) -> list[list[Pair]]:
    """The candidates of each query, in the order of the rows of a unit that has travelled."""
    ready = rows.filter(pc.equal(rows["kind"], OK))
    pairs = [Pair(*texts) for texts in zip(*(ready[name].to_pylist() for name in TEXTS), strict=True)]
    return [[pairs[i] for i in members] for members in split_queries(ready)]
