"""How much each task of a preparation reads, holds and writes."""

from dataclasses import dataclass

from pipeline.input.parquet import SPLIT_BYTES


@dataclass(frozen=True)
class Sizes:
    """Bytes are those of memory or of a plain text, unless said otherwise.

    piece_bytes: of a text that one task reads. split_bytes: of the row groups of a Parquet file that it reads.
    window_bytes: read at once. line_end_bytes: read at once behind a piece, for the end of its last line.
    query_bucket_bytes: of the runs, or of the queries, in a bucket of queries. doc_bucket_bytes: of the corpus in a
    bucket of documents, were all of it kept. doc_bucket_docs: documents that candidates name; fewer are not worth a
    bucket. doc_bucket_asked: candidates that ask for the documents of a bucket. block_rows: candidates that are read
    together. file_bytes: rows of one file between the steps, held three times by the task that writes it.
    """

    piece_bytes: int = 128 * 2**20
    split_bytes: int = SPLIT_BYTES
    window_bytes: int = 8 * 2**20
    line_end_bytes: int = 2**16
    query_bucket_bytes: int = 64 * 2**20
    doc_bucket_bytes: int = 128 * 2**20
    doc_bucket_docs: int = 20_000
    doc_bucket_asked: int = 2_000_000
    block_rows: int = 16_384
    file_bytes: int = 64 * 2**20

    def count_query_buckets(self, run_bytes: int, query_bytes: int) -> int:
        return max(1, *(-(-size // self.query_bucket_bytes) for size in (run_bytes, query_bytes)))

    def count_doc_buckets(self, corpus_bytes: int, run_rows: int) -> int:
        """As many buckets as keep both the documents of one and the candidates that ask for them small, and no more
        than are worth it where a run names few documents of a large corpus."""
        worth = min(-(-corpus_bytes // self.doc_bucket_bytes), -(-run_rows // self.doc_bucket_docs))
        return max(1, worth, -(-run_rows // self.doc_bucket_asked))
