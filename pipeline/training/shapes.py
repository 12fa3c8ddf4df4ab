"""The forms of training data, each a function from a group to rows. Their readers: docs/training-data.md."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.training.choose import Group

Row = dict[str, Any]


def make_triplets(group: Group) -> Iterator[Row]:
    """anchor, positive, negative, and as label the margin of their scores: for MarginMSELoss, and for losses that use
    none."""
    for positive in group.positives:
        for negative in group.negatives:
            yield {
                "anchor": group.query,
                "positive": positive.doc,
                "negative": negative.doc,
                "label": positive.score - negative.score,
            }


def make_labeled_list(group: Group) -> Iterator[Row]:
    """query, docs and as labels the scores, positives first: for losses over lists of a cross-encoder."""
    both = [*group.positives, *group.negatives]
    yield {"query": group.query, "docs": [one.doc for one in both], "labels": [one.score for one in both]}


def make_flagembedding(group: Group) -> Iterator[Row]:
    """query, pos, neg and the scores of both, as FlagEmbedding's fine-tuning reads them for distillation."""
    yield {
        "query": group.query,
        "pos": [one.doc for one in group.positives],
        "neg": [one.doc for one in group.negatives],
        "pos_scores": [one.score for one in group.positives],
        "neg_scores": [one.score for one in group.negatives],
    }


SHAPES: dict[str, Callable[[Group], Iterator[Row]]] = {
    "triplet": make_triplets,
    "labeled-list": make_labeled_list,
    "flagembedding": make_flagembedding,
}


def encode_parquet(rows: list[Row]) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows), sink, compression="zstd")
    return sink.getvalue()


def encode_jsonl(rows: list[Row]) -> bytes:
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows).encode()


ENCODERS: dict[str, Callable[[list[Row]], bytes | pa.Buffer]] = {"parquet": encode_parquet, "jsonl": encode_jsonl}
