"""Score files for tests of merging: their names, and rows that are known by file and row."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from pipeline.cluster.in_process import InProcess
from pipeline.plan.units import Unit, Version, name_score_file
from pipeline.rank.merge import merge_scores
from pipeline.score.files import StoredScores
from pipeline.sizes import Sizes
from pipeline.storage.folder import Folder

BUCKETS, FINGERPRINT = 5, "0123456789abcdef-vllm-0.32"
MERGED = f"{FINGERPRINT}/merged/"


def row_of(number: int, row: int) -> dict[str, Any]:
    """Row of an input file. Files share queries; some rows have no score, and some are rejects without a query."""
    made = {"file": number, "row": row, "query_id": f"q{(number * 3 + row) % 11}", "doc_id": f"dé{number}-{row}"}
    made |= {
        "texts": row.to_bytes(16),
        "query_text": number * 3 + row,
        "first_stage_score": row / 4,
        "rerank_score": row / 8,
    }
    made |= {"kind": "ok", "reason": None, "truncated": row % 5 == 0}
    if row % 7 == 3:
        made |= {"rerank_score": None, "kind": "permanent", "reason": "document is empty"}
    if row % 7 == 6:
        made |= {"query_id": None, "rerank_score": None, "kind": "reject", "reason": "query_id is null"}
    return made


def rows_of_file(number: int, rows: int) -> list[dict[str, Any]]:
    return [row_of(number, row) for row in range(rows)]


def unit_of(number: int, first: int, stop: int, retry: int = 0) -> Unit:
    """A unit of an input file of 1000 rows."""
    return Unit(Version(f"{number:016x}", "a" * 16), 1000, first, stop, retry)


def name(unit: Unit, transient: bool = False) -> str:
    return f"{FINGERPRINT}/{name_score_file(unit.name, transient)}"


def reader(
    scores: Folder,
    stored: list[StoredScores],
    buckets: int = BUCKETS,
    explain: bool = False,
    sizes: Sizes = Sizes(),
    into: type[Folder] = Folder,
) -> Callable[[int], pa.Table]:
    return merge_scores(
        scores, into(f"{scores.url}/{MERGED.rstrip('/')}"), stored, buckets, explain, InProcess(), sizes
    )
