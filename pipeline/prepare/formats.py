"""The formats of runs, queries and corpora: how a file's name shows its own, and how its lines become columns.

A reader of lines gets a block of whole lines and the columns' names, and gives the cells of each column as bytes (or a
float, or None), a row for each line that is not blank. It raises BadRow for one that has not the format's form.
"""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from pipeline.errors import UsageError
from pipeline.input.match import Unmatched, Usual, match_columns

# The columns of a run, of the queries and of a corpus, and the names under which columns are found by default.
KINDS = {
    "run": ("query_id", "doc_id", "score", "rank"),
    "queries": ("query_id", "query"),
    "corpus": ("doc_id", "title", "doc"),
}
NAMES = {
    "query_id": ("query_id", "qid", "query-id", "_id", "id"),
    "doc_id": ("doc_id", "docid", "docno", "pid", "corpus-id", "corpus_id", "_id", "id"),
    "score": ("score",),
    "query": ("query", "text"),
    "rank": ("rank",),
    "title": ("title",),
    "doc": ("doc", "text", "contents", "body", "passage"),
}
OPTIONAL = ("title", "rank")
FALLBACK = ("_id", "id")  # in a run these are a query's, a document's or a row's: other names go first
COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}

Cells = dict[str, list[Any]]


class BadRow(Exception):
    """A line that has not the form of its format. row: its number among the block's lines that are not blank."""

    def __init__(self, row: int, what: str):
        super().__init__(row, what)
        self.row, self.what = row, what


@dataclass(frozen=True)
class Format:
    """endings: of the files' names. read: lines -> cells; None where it is no text. layouts: the columns of a text
    without a header, by their number; where there are none, the first line of the file names them."""

    endings: tuple[str, ...]
    read: Callable[[list[bytes], Any], Cells] | None = None
    layouts: tuple[tuple[str, ...], ...] = ()


def parse_cells(lines: list[bytes], columns: tuple[str, ...], separator: bytes | None) -> Cells:
    """columns: the name of each, empty for those that are not wanted. No quoting, no escapes."""
    rows = [line.removesuffix(b"\r").split(separator) for line in lines if line.strip()]
    for number, row in enumerate(rows):
        if len(row) != len(columns):
            raise BadRow(number, f"has {len(row)} columns, not {len(columns)}")
    return {name: [row[at] for row in rows] for at, name in enumerate(columns) if name}


def parse_objects(lines: list[bytes], usual: dict[str, Usual], taken: Counter[tuple[str, str]] | None = None) -> Cells:
    """One JSON object a line, each with keys of its own. taken: counts the lines by (name, key)."""
    found: Cells = {name: [] for name in usual}
    layouts: dict[tuple[str, ...], dict[str, str]] = {}  # keys of a line -> name -> key
    rows: Counter[tuple[str, ...]] = Counter()
    for number, line in enumerate(line for line in lines if line.strip()):
        try:
            values = json.loads(line)
        except ValueError as error:  # of which a text that is not UTF-8 is one, too
            raise BadRow(number, f"is not JSON ({error})") from None
        if not isinstance(values, dict):
            raise BadRow(number, "is not a JSON object")
        there = tuple(values)
        if there not in layouts:
            try:
                layouts[there] = match_columns(usual, there)
            except Unmatched as error:
                raise BadRow(number, str(error)) from None
        rows[there] += 1
        for name, cells in found.items():
            key = layouts[there].get(name)
            value = None if key is None else values[key]
            without = value is None and "score" in usual  # a run's row that lacks an id is left out, and counted
            cells.append(None if without else _parse_value(number, name, key, value))
    if taken is not None:
        for there, count in rows.items():
            taken.update(dict.fromkeys(layouts[there].items(), count))
    return found


def _parse_value(number: int, name: str, key: str | None, value: Any) -> bytes | float | None:
    if name == "rank":
        return value if isinstance(value, int | float) else None  # it decides nothing
    if name == "score":
        fits = value is None or (isinstance(value, int | float) and not isinstance(value, bool))
    elif name.endswith("_id"):
        value = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        fits = isinstance(value, str)
    else:
        fits = value is None or isinstance(value, str)
    if not fits:
        wants = "a number" if name == "score" else "an id" if name.endswith("_id") else "a text"
        raise BadRow(number, f"has {json.dumps(value)[:80]} for {key!r}, which is not {wants}")
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value


WORDS, TABS = partial(parse_cells, separator=None), partial(parse_cells, separator=b"\t")
JSONL, PARQUET = Format((".jsonl", ".json"), parse_objects), Format((".parquet",))
TREC = ("query_id", "", "doc_id", "rank", "score", "")  # without Q0 and tag
FORMATS: dict[str, dict[str, Format]] = {
    "run": {
        "trec": Format((".trec", ".run", ".txt"), WORDS, (TREC,)),
        "msmarco": Format((), TABS, (("query_id", "doc_id", "rank"),)),
        "tsv": Format((".tsv",), TABS),
        "jsonl": JSONL,
        "parquet": PARQUET,
    },
    "queries": {
        "jsonl": JSONL,
        "tsv": Format((".tsv",), TABS, (("query_id", "query"),)),
        "parquet": PARQUET,
    },
    "corpus": {
        "jsonl": JSONL,
        "tsv": Format((".tsv",), TABS, (("doc_id", "doc"), ("doc_id", "", "title", "doc"))),
        "parquet": PARQUET,
    },
}


def list_endings(kind: str) -> tuple[str, ...]:
    """The ends of names by which files of this kind are found in a folder."""
    plain = [ending for format in FORMATS[kind].values() for ending in format.endings]
    return tuple(ending + packed for ending in plain for packed in ("", *COMPRESSIONS))


def detect_format(kind: str, path: str, given: str | None) -> tuple[str, str | None]:
    """The format and the compression of a file, by its name. given: the format, whatever the name says.

    Raises UsageError for a name that shows no format.
    """
    name = path.lower()
    packed = next((ending for ending in COMPRESSIONS if name.endswith(ending)), "")
    compression = COMPRESSIONS.get(packed)
    if given:
        return given, compression
    name = name.removesuffix(packed)
    for format_name, format in FORMATS[kind].items():
        if name.endswith(format.endings):
            return format_name, compression
    raise UsageError(
        f"{path}: its name does not tell its format; give --{kind}-format, one of {', '.join(FORMATS[kind])}"
    )


def find_columns(kind: str, path: str, there: list[str], given: dict[str, str]) -> dict[str, str]:
    """Name -> column, for a file whose columns have names. given: those that the user named.

    Raises UsageError where a column is missing, or two fit one name.
    """
    try:
        return match_columns(list_usual_names(kind, given), there)
    except Unmatched as error:
        raise UsageError(f"{path}: {error}; it has {', '.join(there)}") from None


def list_usual_names(kind: str, given: dict[str, str]) -> dict[str, Usual]:
    """The columns of a kind, and where each is found. given: `name`, or `kind.name`, -> the one that the user named."""
    return {name: _list_usual(name, f"{kind}.{name}", given) for name in KINDS[kind]}


def _list_usual(name: str, key: str, given: dict[str, str]) -> Usual:
    column = given.get(key, given.get(name))
    if column is not None:
        return Usual(key, (column,))
    fallback = FALLBACK if key.startswith("run.") and name.endswith("_id") else ()
    return Usual(key, tuple(column for column in NAMES[name] if column not in fallback), fallback, name in OPTIONAL)
