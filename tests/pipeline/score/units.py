"""Units as an actor gets them, and score files of a few rows, for tests of score files."""

import hashlib
from typing import Any

import pyarrow as pa

from actors.rerankers.contract import Unscored
from pipeline.input.listing import InputFile
from pipeline.plan.units import Unit, Version, name_score_file, parse_score_file
from pipeline.rows import TRANSIENT
from pipeline.score.files import SCHEMA, StoredScores, encode_scores, make_score_table
from pipeline.score.prompt import PromptedUnit
from pipeline.storage.folder import Folder

OF = Version("0123456789abcdef", "fedcba9876543210")
FILE = InputFile("in/a.parquet", 1234, "etag")


def texts_of(row: int) -> bytes:
    """Stands for the hash of a row's texts."""
    return hashlib.md5(str(row).encode()).digest()


def make_unit(
    *rows: tuple[str | None, str], first: int = 10, name: str = "", file: InputFile = FILE, reason: str = ""
) -> PromptedUnit:
    """A unit of (query_id, kind), whose first row is the one with number `first`; that one is truncated.

    reason: of the rows that are not ok; `<kind> from the start` by default.
    """
    lines = [
        {
            "row": first + i,
            "texts": texts_of(first + i),
            "query_id": query,
            "doc_id": f"d{first + i}",
            "first_stage_score": (first + i) / 2,
            "kind": kind,
            "reason": None if kind == "ok" else reason or f"{kind} from the start",
            "truncated": i == 0,
        }
        for i, (query, kind) in enumerate(rows)
    ]
    travels = pa.schema([field for field in SCHEMA if field.name != "rerank_score"])
    unit = name or Unit(OF, 100, first, first + len(rows)).name
    return PromptedUnit(unit, file, pa.Table.from_pylist(lines, travels), [], [])


def put_scores(
    folder: Folder,
    scores: dict[int, float | Unscored],
    of: Version = OF,
    number: int = 0,
    retry: int = 0,
    **bounds: Any,
) -> StoredScores:
    """Puts the score file of a unit with these rows, all of query q. number: of the input file.

    first, stop: bounds of the unit, where they are not those of its rows.
    """
    rows = sorted(scores)
    table = pa.concat_tables(
        make_score_table(make_unit(("q", "ok"), first=row), [scores[row]], [f"by {len(rows)}"]) for row in rows
    )
    unit = Unit(of, 100, bounds.get("first", rows[0]), bounds.get("stop", rows[-1] + 1), retry)
    name = name_score_file(unit.name, TRANSIENT in table["kind"].to_pylist())
    folder.put_new(name, encode_scores(table))
    found, size = parse_score_file(name), folder.size(name)
    assert found and size
    return StoredScores(found, number, size)
