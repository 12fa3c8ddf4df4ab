"""The task of a bucket of documents: the candidates that ask for them -> their texts, by shard."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.prepare.choose import keep_first
from pipeline.prepare.unknown import put_unknown
from pipeline.rank.buckets import BucketReader, encode_by_bucket
from pipeline.storage.folder import Folder

TEXT_SCHEMA = pa.schema([("row", pa.int64()), ("title", pa.large_string()), ("doc", pa.large_string())])


class Joined(NamedTuple):
    """files: name -> index. first: name -> the shard at which the index begins. titles: whether a document has one."""

    files: dict[str, np.ndarray]
    first: dict[str, int]
    titles: bool
    counts: Counter[str]


@dataclass(frozen=True)
class Join:
    """scratch: the folder of the files between the steps. offsets: the number of the first candidate of each bucket of
    queries among all; bounds: that of each shard. file_bytes: of texts in one file, for a document that many queries
    share is written for each of them."""

    scratch: Folder
    output: Folder
    asked: BucketReader
    corpus: BucketReader
    offsets: np.ndarray
    bounds: np.ndarray
    file_bytes: int

    def __call__(self, bucket: int) -> Joined:
        docs, repeated, conflicting = keep_first(self.corpus.read(bucket), "doc_id")
        asked = self.asked.read(bucket).combine_chunks()
        found = pc.index_in(asked["doc_id"], docs["doc_id"].combine_chunks()).combine_chunks()
        unknown = asked.filter(pc.is_null(found))["doc_id"]
        counts = Counter(
            unknown_docs=put_unknown(self.output, "docs", bucket, unknown),
            unknown_doc_rows=len(unknown),
            repeated_docs=repeated,
            conflicting_docs=conflicting,
        )
        row = (self.offsets[asked["bucket"].to_numpy()] + asked["row"].to_numpy())[found.is_valid().to_numpy(False)]
        order = np.argsort(row)
        at = found.drop_null().to_numpy()[order]
        files: dict[str, np.ndarray] = {}
        first: dict[str, int] = {}
        titles = False
        for rows, texts in self._take_texts(docs, row[order], at):
            titles = titles or texts["title"].null_count < len(texts)
            shard = np.searchsorted(self.bounds, rows, side="right") - 1
            data, index = encode_by_bucket(texts, shard - shard[0], int(shard[-1] - shard[0]) + 1)
            name = f"texts/{bucket:06d}-{len(files):04d}.arrow"
            self.scratch.put(name, data)
            files[name], first[name] = index, int(shard[0])
        return Joined(files, first, titles, counts)

    def _take_texts(self, docs: pa.Table, row: np.ndarray, at: np.ndarray) -> Iterator[tuple[np.ndarray, pa.Table]]:
        """The texts of these rows (sorted), file_bytes at a time. at: the rows of their documents in `docs`."""
        sizes = sum(pc.fill_null(pc.binary_length(docs[name]), 0).to_numpy() for name in ("title", "doc"))
        ends = np.cumsum(sizes[at] if len(at) else np.zeros(0, np.int64))
        cuts = np.flatnonzero(np.diff(ends // self.file_bytes)) + 1
        for rows, docs_of_rows in zip(np.split(row, cuts), np.split(at, cuts), strict=True):
            if len(rows):
                texts = docs.select(["title", "doc"]).take(docs_of_rows)
                yield rows, texts.add_column(0, TEXT_SCHEMA.field("row"), pa.array(rows))
