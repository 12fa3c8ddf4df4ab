"""Ids of a run that no queries or corpus have: in files beside the shards, which the job does not read."""

import csv
import io

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.storage.folder import Folder

UNKNOWN = "_unknown/"


def put_unknown(output: Folder, what: str, bucket: int, ids: pa.ChunkedArray) -> int:
    """Puts the ids, by their bytes, with the number of rows that name each; returns how many ids there are.

    what: "queries" or "docs". Where there are none no file is put.
    """
    counted = pc.value_counts(pa.chunked_array(ids).combine_chunks())
    if not len(counted):
        return 0
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(["query_id" if what == "queries" else "doc_id", "rows"])
    pairs = zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True)
    writer.writerows(sorted(pairs))  # by code point, which is by byte
    output.put(f"{UNKNOWN}{what}-{bucket:05d}.tsv", text.getvalue().encode())
    return len(counted)
